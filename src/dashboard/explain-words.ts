// The questions about access that a person can choose, and the answers in words. Pure functions.
import { inOrder, titleOf, grantsAll } from './roles.ts';

/** A request that nobody sends. */
export interface AskedRequest {
  readonly method: string;
  /** The target as it would be sent, with a leading slash. */
  readonly path: string;
  readonly body?: unknown;
}

/** The answer, as docs/explain.md says; a field that does not apply is absent. */
export interface Explanation {
  readonly decision: 'allow' | 'deny' | 'unknown';
  readonly rule: string;
  readonly reason?: string;
  readonly status?: number;
  readonly operation?: string;
  readonly database?: string;
  readonly needed?: string;
  readonly held: readonly string[];
  /** The smallest sets of roles that would permit the request. */
  readonly missing: readonly (readonly string[])[];
  readonly couchdb: readonly string[];
}

interface Operation {
  readonly id: string;
  /** Completes "May … …?". */
  readonly words: string;
  /** What a client sends to do it; each request must be permitted. `db` = the encoded name. */
  readonly requests: (db: string) => readonly AskedRequest[];
}

const CHECKPOINT = '_local/checkpoint';

/** In the order of the list. The last one, `other`, has no requests: the person names one. */
export const OPERATIONS: readonly Operation[] = [
  { id: 'read', words: 'read a document', requests: (db) => [{ method: 'GET', path: `${db}/document` }] },
  { id: 'write', words: 'write a document', requests: (db) => [{ method: 'PUT', path: `${db}/document` }] },
  {
    id: 'delete',
    words: 'delete a document',
    requests: (db) => [{ method: 'DELETE', path: `${db}/document` }],
  },
  { id: 'list', words: 'list all documents', requests: (db) => [{ method: 'GET', path: `${db}/_all_docs` }] },
  {
    id: 'find',
    words: 'search with a query (_find)',
    requests: (db) => [{ method: 'POST', path: `${db}/_find`, body: { selector: {} } }],
  },
  {
    id: 'view',
    words: 'query a view',
    requests: (db) => [{ method: 'GET', path: `${db}/_design/design/_view/view` }],
  },
  {
    id: 'changes',
    words: 'follow the changes',
    requests: (db) => [{ method: 'GET', path: `${db}/_changes` }],
  },
  {
    id: 'bulk',
    words: 'write many documents at once (_bulk_docs)',
    requests: (db) => [{ method: 'POST', path: `${db}/_bulk_docs`, body: { docs: [{ _id: 'document' }] } }],
  },
  {
    id: 'design',
    words: 'change a design document or an index',
    requests: (db) => [{ method: 'PUT', path: `${db}/_design/design` }],
  },
  {
    id: 'replicate-from',
    words: 'replicate from this database',
    requests: (db) => [
      { method: 'GET', path: db },
      { method: 'GET', path: `${db}/_changes` },
      { method: 'POST', path: `${db}/_bulk_get`, body: { docs: [{ id: 'document' }] } },
      { method: 'PUT', path: `${db}/${CHECKPOINT}` },
    ],
  },
  {
    id: 'replicate-into',
    words: 'replicate into this database',
    requests: (db) => [
      { method: 'GET', path: db },
      { method: 'POST', path: `${db}/_revs_diff`, body: { document: ['1-a'] } },
      { method: 'POST', path: `${db}/_bulk_docs`, body: { docs: [{ _id: 'document' }], new_edits: false } },
      { method: 'PUT', path: `${db}/${CHECKPOINT}` },
    ],
  },
  {
    id: 'permissions',
    words: 'change the permissions',
    requests: (db) => [{ method: 'PUT', path: `${db}/_security`, body: { cloudant: {} } }],
  },
  { id: 'delete-database', words: 'delete the database', requests: (db) => [{ method: 'DELETE', path: db }] },
  { id: 'other', words: 'send another request …', requests: () => [] },
];

/** A question, as the address of the page has it. */
export interface Question {
  readonly name: string;
  readonly operation: string;
  /** Of another request. */
  readonly method: string;
  readonly path: string;
}

/** The requests of a question about a database; none = it is not complete. */
export function requestsOf(database: string, { operation, method, path }: Question): readonly AskedRequest[] {
  if (operation === 'other') return path === '' ? [] : [{ method, path }];
  const found = OPERATIONS.find(({ id }) => id === operation);
  return found?.requests(`/${encodeURIComponent(database)}`) ?? [];
}

/** The answer of the request that decides. */
export interface Verdict {
  readonly request: AskedRequest;
  readonly explanation: Explanation;
  /** Sets of roles, each of which would permit every request of the operation; the least one first. */
  readonly ways: readonly (readonly string[])[];
}

/** Sums up the answers to all requests of an operation: one refusal refuses it. */
export function verdictOf(answers: readonly (readonly [AskedRequest, Explanation])[]): Verdict | undefined {
  const first = (decision: string) => answers.find(([, each]) => each.decision === decision);
  const found = first('deny') ?? first('unknown') ?? answers[0];
  if (found === undefined) return undefined;
  const [request, explanation] = found;
  return { request, explanation, ways: waysOf(answers.map(([, each]) => each)) };
}

/** The smallest sets of roles with which no request would be refused. */
function waysOf(answers: readonly Explanation[]): readonly (readonly string[])[] {
  const refused = answers.filter(({ decision }) => decision === 'deny');
  if (refused.length === 0) return [];
  // A refusal that no role ends has no way, and so leaves none.
  const ways = refused.reduce<readonly (readonly string[])[]>(
    (found, { missing }) =>
      smallest(found.flatMap((way) => missing.map((roles) => inOrder([...way, ...roles])))),
    [[]],
  );
  return [...ways].sort((a, b) => costOf(a) - costOf(b));
}

/** Without repetition, and without sets that contain another one. */
function smallest(ways: readonly (readonly string[])[]): readonly (readonly string[])[] {
  const unique = [...new Map(ways.map((way) => [way.join(), way])).values()];
  return unique.filter((way) => !unique.some((other) => other !== way && includes(way, other)));
}

const includes = (way: readonly string[], part: readonly string[]): boolean =>
  part.every((role) => way.includes(role));

/** Roles that grant everything cost more than any number of others. */
function costOf(way: readonly string[]): number {
  return way.length + 10 * way.filter(grantsAll).length;
}

export const TITLES: Readonly<Record<Explanation['decision'], string>> = {
  allow: 'Yes, this is allowed',
  deny: 'No, this is refused',
  unknown: 'It depends on what is sent',
};

const ALLOWED: Readonly<Record<string, string>> = {
  public: 'Everybody may do this, with or without a password.',
  'signed in': 'Every name with a valid password may do this.',
  owner: 'Server admins may do everything.',
  'prefix grant': 'A prefix grant gives the roles that it needs. It reaches every database of its prefix.',
  'server grant': 'The name is a monitor: it may read numbers about every database.',
  couchdb_auth_only: 'Couchgate leaves this to CouchDB, which decides by its own members and admins.',
};

const REFUSED: Readonly<Record<string, string>> = {
  'no database': 'There is no such database.',
  blocked: 'This request is closed for everybody, whatever roles they have.',
  'owner address': 'Server admins may not come from this address.',
  'not signed in': 'A password is needed.',
  couchdb_auth_only: 'CouchDB decides about this database, and this request is left to server admins.',
  malformed: 'The request is malformed.',
};

const CREDENTIALS: readonly (readonly [part: string, words: string])[] = [
  ['revoked', 'The key was revoked. No password of it works any more.'],
  ['expired', 'The key has expired. Change its expiry on the page API keys.'],
  ['unknown name', 'No API key and no user has this name, so no password of it can work.'],
];

/** Why, in one or two sentences. */
export function whyOf({ explanation, ways }: Pick<Verdict, 'explanation' | 'ways'>): string {
  const { decision, rule, reason, held, needed } = explanation;
  if (decision === 'unknown') return reason ?? '';
  if (decision === 'allow')
    return ALLOWED[rule] ?? `It is allowed by ${rolesInWords(held)} on this database.`;
  if (rule === 'credentials')
    return CREDENTIALS.find(([part]) => reason?.includes(part))?.[1] ?? reason ?? '';
  if (rule === 'grant' || rule === 'not signed in') {
    const has = held.length === 0 ? 'no role here' : `${rolesInWords(held)} here`;
    if (ways.length > 0) return `It lacks ${ways.map(rolesInWords).join(', or ')}. It has ${has}.`;
    return needed === undefined ? (reason ?? '') : `It needs ${needsInWords(needed)}, and has ${has}.`;
  }
  return REFUSED[rule] ?? reason ?? '';
}

/** What CouchDB may do with a request that Couchgate permits. */
const AFTERWARDS: Readonly<Record<string, string>> = {
  couchdb_auth_only: 'CouchDB decides by its members and admins, and may still refuse.',
  validate_doc_update:
    'CouchDB may still refuse a document: a design document can check each write (validate_doc_update).',
  'functions of the design document': 'A function of the design document runs, and may still refuse.',
};

export function afterwardsOf({ couchdb }: Explanation): readonly string[] {
  return couchdb.map((what) => AFTERWARDS[what] ?? what);
}

/** `Read and Write`. */
export function rolesInWords(roles: readonly string[]): string {
  const titles = inOrder(roles).map(titleOf);
  return titles.length < 2
    ? (titles[0] ?? '')
    : `${titles.slice(0, -1).join(', ')} and ${titles.at(-1) ?? ''}`;
}

/** `_reader or _design+_writer` = Read, or Design and Write. */
function needsInWords(needed: string): string {
  if (needed === 'owner') return 'a server admin';
  return needed
    .split(' or ')
    .map((way) => way.split('+').map(titleOf).join(' and '))
    .join(' or ');
}
