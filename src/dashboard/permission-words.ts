// Says in words what saved edits would change for whom.
import {
  couchRulesIn,
  type CouchRules,
  type Edits,
  rolesShown,
  type SecurityDocument,
} from './permission-edits.ts';
import { canOf, grantsAll } from './roles.ts';

/** `opens` = access gets wider than one name, or somebody can take every right. */
export interface Consequence {
  readonly tone: 'opens' | 'gives' | 'takes';
  /** The name that it concerns; undefined = everybody, or the database as a whole. */
  readonly name: string | undefined;
  /** The rest of the sentence. */
  readonly text: string;
}

/**
 * Lists the consequences of the edits, the most far-reaching first. `isReached` = prefix grants give roles
 * on the database too.
 */
export function consequencesOf(
  database: string,
  document: SecurityDocument,
  edits: Edits,
  isReached = false,
): readonly Consequence[] {
  const found: Consequence[] =
    edits.couch === undefined ? [] : [...ofCouch(database, edits.couch.after, document)];
  const isOn = edits.couch?.after.isOn ?? couchRulesIn(document).isOn;
  for (const [name, { before, after }] of edits.grants) {
    const given = after.filter((role) => !before.includes(role));
    const taken = before.filter((role) => !after.includes(role));
    if (name === 'nobody') found.push(...ofEverybody(database, given, taken, after));
    else found.push(...ofName(name, given, taken, after));
  }
  if (isOn && edits.grants.size > 0)
    found.push({
      tone: 'takes',
      name: undefined,
      text: 'These roles have no effect while CouchDB decides about this database.',
    });
  else if (leavesOwnerAlone(document, edits))
    found.push({
      tone: 'takes',
      name: undefined,
      text: isReached
        ? 'Only server admins and names with a prefix grant have access afterwards.'
        : 'Only server admins have access afterwards.',
    });
  const order = { opens: 0, gives: 1, takes: 2 } as const;
  return found.sort((a, b) => order[a.tone] - order[b.tone]);
}

function ofEverybody(
  database: string,
  given: readonly string[],
  taken: readonly string[],
  after: readonly string[],
): readonly Consequence[] {
  const found: Consequence[] = [];
  const say = (tone: Consequence['tone'], text: string) => found.push({ tone, name: undefined, text });
  if (given.includes('_reader')) say('opens', `${database} becomes readable without a password.`);
  if (given.includes('_writer')) say('opens', `${database} becomes writable without a password.`);
  const others = given.filter((role) => role !== '_reader' && role !== '_writer');
  if (others.length > 0) say('opens', `Everyone without a password can ${listed(others.map(canOf))}.`);
  if (after.length === 0)
    say('takes', `${database} is no longer public: requests without a password are refused.`);
  else if (taken.length > 0)
    say('takes', `Without a password nobody can ${listed(taken.map(canOf), 'or')} any more.`);
  return found;
}

function ofName(
  name: string,
  given: readonly string[],
  taken: readonly string[],
  after: readonly string[],
): readonly Consequence[] {
  const found: Consequence[] = [];
  if (given.length > 0)
    found.push({
      tone: given.some(grantsAll) ? 'opens' : 'gives',
      name,
      text: `can ${listed(given.map(canOf))}.`,
    });
  if (after.length === 0) found.push({ tone: 'takes', name, text: 'loses all access. Its open feeds end.' });
  else if (taken.length > 0)
    found.push({ tone: 'takes', name, text: `can no longer ${listed(taken.map(canOf), 'or')}.` });
  return found;
}

function* ofCouch(
  database: string,
  { isOn, members, admins }: CouchRules,
  document: SecurityDocument,
): Generator<Consequence> {
  const say = (tone: Consequence['tone'], text: string): Consequence => ({ tone, name: undefined, text });
  if (!isOn) {
    if (couchRulesIn(document).isOn)
      yield say('takes', 'Couchgate decides again: the roles below take effect.');
    if (members !== undefined || admins !== undefined)
      yield say('gives', 'Members and admins are kept, without effect.');
    return;
  }
  const isEmpty = (list: CouchRules['members']): boolean =>
    list !== undefined && list.names.length + list.roles.length === 0;
  if (isEmpty(members)) {
    yield say(
      'opens',
      `${database} is open to everybody, the public included: its list of members is empty.`,
    );
  } else if (members === undefined) {
    yield say('takes', `${database} is closed to everybody but server admins: it has no list of members.`);
  } else {
    yield say(
      'gives',
      'CouchDB decides: its members and admins have access, and the roles below have no effect.',
    );
  }
}

function leavesOwnerAlone(document: SecurityDocument, edits: Edits): boolean {
  if (edits.grants.size === 0) return false;
  const names = new Set([...Object.keys(document.cloudant ?? {}), ...edits.grants.keys()]);
  return [...names].every((name) => rolesShown(document, edits, name).length === 0);
}

/** `a, b and c`. */
export function listed(parts: readonly string[], join: 'and' | 'or' = 'and'): string {
  const last = parts.at(-1) ?? '';
  return parts.length < 2 ? last : `${parts.slice(0, -1).join(', ')} ${join} ${last}`;
}
