// Reads a change of a security object, which may be one that is too large: that can only lose roles.
import { BadRequest } from '../http-errors.ts';
import { writeJson } from '../json/exact-numbers.ts';
import { type JsonObject } from '../json/object.ts';
import { NO_ROLES } from './role.ts';
import { grantsIn, rolesByName } from './security-document.ts';
import {
  hasManyOthers,
  MAX_OTHER_BYTES,
  parseSecurity,
  refuseManyOthers,
  type SecurityRequest,
} from './security-request.ts';

export interface SecurityChange {
  readonly request: SecurityRequest;
  /** Throws 400 if what is in force, in the form that clients see, may not become the request. */
  readonly refuseFor: (present: JsonObject) => void;
}

/** Bytes beside names and roles with which a record still fits into a document of CouchDB. */
const MAX_KEPT_BYTES = 1_048_576;

/**
 * Checks the body of a change as `parseSecurityPut` does. Written past Couchgate, an object may have more
 * than MAX_OTHER_BYTES beside names and roles. Then a role can be taken away, so that a revocation need not
 * wait until somebody has shortened the object. Each such change takes a role, so their number is bounded
 * (H15). Pinned by test/hostile/h15-large-security.test.ts.
 */
export function parseSecurityChange(body: JsonObject): SecurityChange {
  const request = parseSecurity(body);
  if (!hasManyOthers(body)) return { request, refuseFor: () => undefined };
  return { request, refuseFor: (present) => refuseToKeep(present, body) };
}

/**
 * The request that gives one name other roles in what is in force; `undefined` = none. Throws 400 for what
 * this change brings. The other names keep their roles. Written past Couchgate, they may have some that
 * nobody can put: those grant nothing, so they do not stop the change, and are left out as in every mirror.
 */
export function withRoles(
  present: JsonObject,
  name: string,
  roles: readonly string[] | undefined,
): SecurityRequest {
  const request = parseSecurity({ ...present, cloudant: roles === undefined ? {} : { [name]: roles } });
  const others = rolesByName(present['cloudant']).filter(([other]) => other !== name);
  const cloudant = new Map([...others, ...(request.cloudant ?? [])]);
  const next = { ...present, cloudant: Object.fromEntries(cloudant) };
  if (hasManyOthers(next)) refuseToKeep(present, next);
  return { ...request, cloudant };
}

/** Throws 400 unless a large object was there before, and loses roles only. */
function refuseToKeep(present: JsonObject, body: JsonObject): void {
  if (!hasManyOthers(present)) refuseManyOthers(body);
  if (hasManyOthers(body, MAX_KEPT_BYTES) || !losesRolesOnly(present, body)) throw tooLargeToKeep();
}

/** Says what to do: the object is there already. */
function tooLargeToKeep(): BadRequest {
  return new BadRequest(
    `This security object has more than ${MAX_OTHER_BYTES} bytes beside names and roles. ` +
      `Up to ${MAX_KEPT_BYTES}, roles can be taken away; for any other change, put it without these fields`,
  );
}

/** True if a role is taken away, none is given, and everything else stays. */
function losesRolesOnly(before: JsonObject, after: JsonObject): boolean {
  const [former, next] = [grantsIn(before['cloudant']), grantsIn(after['cloudant'])];
  for (const [name, roles] of next) if ((roles & ~(former.get(name) ?? NO_ROLES)) !== 0) return false;
  const isLess = [...former].some(([name, roles]) => next.get(name) !== roles);
  return isLess && hasSameOthers(before, after);
}

function hasSameOthers(before: JsonObject, after: JsonObject): boolean {
  const fields = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...fields].every(
    (field) => field === 'cloudant' || field === '_id' || isSame(before[field], after[field]),
  );
}

function isSame(before: unknown, after: unknown): boolean {
  return before === after || writeJson([before]) === writeJson([after]);
}
