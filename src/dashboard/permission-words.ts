// Says in words what saved edits would change for whom.
import {
  type CouchList,
  couchRulesIn,
  type CouchRules,
  type Edits,
  hasEntries,
  rolesShown,
  type SecurityDocument,
} from './permission-edits.ts';
import { canOf, grantsAll, titlesOf } from './roles.ts';

/** `opens` = access gets wider than one name, or somebody can take every right. */
export interface Consequence {
  readonly tone: 'opens' | 'gives' | 'takes';
  /** The name that it concerns; undefined = everybody, or the database as a whole. */
  readonly name: string | undefined;
  /** The rest of the sentence. */
  readonly text: string;
}

/** What a prefix grant gives on the database too. */
export interface Reaching {
  readonly name: string;
  readonly roles: readonly string[];
}

/** Lists the consequences of the edits, the most far-reaching first. */
export function consequencesOf(
  database: string,
  document: SecurityDocument,
  edits: Edits,
  reach: readonly Reaching[] = [],
): readonly Consequence[] {
  const found: Consequence[] =
    edits.couch === undefined ? [] : [...ofCouch(database, edits.couch.after, document)];
  const isOn = edits.couch?.after.isOn ?? couchRulesIn(document).isOn;
  for (const [name, { before, after }] of edits.grants) {
    const given = after.filter((role) => !before.includes(role));
    const taken = before.filter((role) => !after.includes(role));
    const kept = reach.filter((each) => each.name === name).flatMap(({ roles }) => roles);
    if (name === 'nobody') found.push(...ofEverybody(database, given, taken, after));
    else found.push(...ofName(name, given, taken, after, kept));
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
      text:
        reach.length > 0
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
  else if (taken.length > 0 && !after.includes('_admin'))
    say('takes', `Without a password nobody can ${listed(taken.map(canOf), 'or')} any more.`);
  return found;
}

function ofName(
  name: string,
  given: readonly string[],
  taken: readonly string[],
  after: readonly string[],
  kept: readonly string[],
): readonly Consequence[] {
  const found: Consequence[] = [];
  if (given.length > 0)
    found.push({
      tone: given.some(grantsAll) ? 'opens' : 'gives',
      name,
      text: `can ${listed(given.map(canOf))}.`,
    });
  if (taken.length === 0) return found;
  const still = [...after, ...kept];
  // `_admin` permits what every other role does.
  const lost = still.includes('_admin') ? [] : taken.filter((role) => !still.includes(role));
  const ends =
    still.length === 0
      ? 'loses all access. Its open feeds end.'
      : lost.length > 0
        ? `can no longer ${listed(lost.map(canOf), 'or')}.`
        : `loses ${titlesOf(taken)} here, but what it still has permits the same.`;
  found.push({ tone: 'takes', name, text: ends });
  if (after.length === 0 && kept.length > 0)
    found.push({ tone: 'takes', name, text: `still can ${listed(kept.map(canOf))}, by a prefix grant.` });
  return found;
}

function* ofCouch(
  database: string,
  { isOn, members, admins }: CouchRules,
  document: SecurityDocument,
): Generator<Consequence> {
  const say = (tone: Consequence['tone'], text: string): Consequence => ({ tone, name: undefined, text });
  const before = couchRulesIn(document);
  if (!isOn) {
    if (before.isOn) yield say('takes', 'Couchgate decides again: the roles below take effect.');
    if (members !== undefined || admins !== undefined)
      yield say('gives', 'Members and admins are kept, without effect.');
    return;
  }
  if (!before.isOn)
    yield say(
      'gives',
      'CouchDB decides: its members and admins have access, and the roles below have no effect.',
    );
  if (isPublic(members))
    yield say(
      'opens',
      `${database} is open to everybody, the public included: its list of members is empty.`,
    );
  else if (members === undefined)
    yield say(
      'takes',
      `${database} is closed to everybody but ${hasEntries(admins) ? 'the admins in CouchDB and ' : ''}server admins: it has no list of members.`,
    );
  else if (before.isOn && isPublic(before.members))
    yield say('takes', `${database} is closed to everybody but its members and admins in CouchDB.`);
  // Lists of a database about which Couchgate decides had no effect.
  yield* ofList('admin', before.isOn ? before.admins : undefined, admins);
  if (!isPublic(members)) yield* ofList('member', before.isOn ? before.members : undefined, members);
}

const entriesOf = (
  { names, roles }: CouchList = { names: [], roles: [] },
): readonly (readonly [name: string, kind: string])[] => [
  ...names.map((name) => [name, ''] as const),
  ...roles.map((role) => [role, '(a role) '] as const),
];

/** CouchDB opens a database with an empty list of members to everybody, and not one without a list. */
const isPublic = (members: CouchList | undefined): boolean => members !== undefined && !hasEntries(members);

/** Who comes into a list of CouchDB, and who leaves it. */
function* ofList(
  what: 'admin' | 'member',
  before: CouchList | undefined,
  after: CouchList | undefined,
): Generator<Consequence> {
  const isIn = (list: CouchList | undefined, [name, kind]: readonly [string, string]): boolean =>
    entriesOf(list).some((each) => each[0] === name && each[1] === kind);
  const word = what === 'admin' ? 'an admin' : 'a member';
  const can = what === 'admin' ? 'also change design documents' : 'read and write documents';
  for (const [name, kind] of entriesOf(after).filter((entry) => !isIn(before, entry)))
    yield {
      tone: what === 'admin' ? 'opens' : 'gives',
      name,
      text: `${kind}becomes ${word} in CouchDB: it can ${can}.`,
    };
  for (const [name, kind] of entriesOf(before).filter((entry) => !isIn(after, entry)))
    yield { tone: 'takes', name, text: `${kind}is no longer ${word} in CouchDB.` };
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
