// Intersects permissions: what each of several security objects grants, and nothing else.
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { writeJson } from '../json/exact-numbers.ts';

/**
 * Returns the first form with only the grants that every form has. If the forms do not leave the same
 * decision to CouchDB (`couchdb_auth_only`, its members and admins), nothing is granted: only the owner gets
 * access.
 */
export function intersectionOf(forms: readonly [JsonObject, ...JsonObject[]]): JsonObject {
  const [first, ...others] = forms;
  return others.reduce<JsonObject>(intersect, first);
}

function intersect(a: JsonObject, b: JsonObject): JsonObject {
  const delegates = isDelegated(a) || isDelegated(b);
  if (delegates && !isDelegatedAlike(a, b)) return closed(a);
  const { cloudant, ...rest } = a;
  if (!isJsonObject(cloudant) || !isJsonObject(b['cloudant']))
    return isJsonObject(cloudant) ? { ...rest, cloudant: {} } : a;
  const other = b['cloudant'];
  const shared: [string, readonly unknown[]][] = [];
  for (const name of Object.keys(cloudant)) {
    const roles = rolesInBoth(cloudant[name], Object.hasOwn(other, name) ? other[name] : []);
    if (roles.length > 0) shared.push([name, roles]);
  }
  return { ...rest, cloudant: Object.fromEntries(shared) };
}

/** The form without any grant: only the owner gets access. */
export function closed({ couchdb_auth_only: _, cloudant, ...rest }: JsonObject): JsonObject {
  return cloudant === undefined ? rest : { ...rest, cloudant: {} };
}

function isDelegated(form: JsonObject): boolean {
  return form['couchdb_auth_only'] === true;
}

/** True if both forms leave the same decision to CouchDB: by the same names and roles. */
export function isDelegatedAlike(a: JsonObject, b: JsonObject): boolean {
  return decidedBy(a) === decidedBy(b);
}

function decidedBy({ couchdb_auth_only: on, members, admins }: JsonObject): string {
  const lists = [members, admins].map((list) =>
    isJsonObject(list) ? [list['names'] ?? null, list['roles'] ?? null] : null,
  );
  return writeJson([on ?? null, ...lists]);
}

function rolesInBoth(a: unknown, b: unknown): readonly unknown[] {
  if (!Array.isArray(a) || !Array.isArray(b)) return [];
  return a === b ? a : a.filter((role) => b.includes(role));
}
