// Declares a step of the comparison: its request, its caller, and how later steps use its answer.

/** The caller of a step. */
export type Caller =
  | 'owner'
  | 'anonymous'
  | { readonly jwt: string; readonly roles: readonly string[] }
  | { readonly basic: string; readonly password: string }
  | { readonly token: string };

/** The saved answers of earlier steps, and the server. */
export interface StepContext {
  readonly url: string;
  readonly owner: { readonly name: string; readonly password: string };
  /** A string member of a saved answer; empty if it is missing. */
  text(savedName: string, member: string): string;
  /** The JSON of a saved answer. */
  json(savedName: string): unknown;
  /** The cookie that a saved answer set, as `name=value`; empty if there is none. */
  cookie(savedName: string): string;
}

/** A value, or a function that computes it from earlier answers. */
export type Computed<T> = T | ((context: StepContext) => T);

/** One request of the comparison. */
export interface Step {
  /** Key of the answer in recorded.json; unique. */
  readonly name: string;
  readonly method: string;
  readonly path: Computed<string>;
  /** Default: the owner. */
  readonly caller?: Caller;
  readonly headers?: Computed<Readonly<Record<string, string>>>;
  /** Strings and bytes are sent unchanged, other values as JSON. */
  readonly body?: Computed<unknown>;
  /** Saves the answer under this name for later steps. */
  readonly saveAs?: string;
  /** Disconnects an open feed after this time; the answer is the received part. */
  readonly stopAfterMs?: number;
  /** A document to write while the request is open; `afterMs` counts from its start. */
  readonly concurrentWrite?: { readonly afterMs: number; readonly path: string };
  /** Wait before the request. */
  readonly pauseMs?: number;
  /** Repeats the request for at most 20 seconds until the answer has this member. */
  readonly untilMember?: string;
}

type Rest = Omit<Step, 'name' | 'method' | 'path'>;

const stepOf =
  (method: string) =>
  (name: string, path: Computed<string>, rest: Rest = {}): Step => ({ name, method, path, ...rest });

export const get = stepOf('GET');
export const head = stepOf('HEAD');
export const put = stepOf('PUT');
export const post = stepOf('POST');
export const del = stepOf('DELETE');
export const copy = stepOf('COPY');

/** The database of most steps. */
export const DB = '/compare-1';
/** Target databases of replications. */
export const TARGETS = ['/compare-2', '/compare-3'] as const;
/** Every database that a run may create. */
export const DATABASES = [DB, ...TARGETS, '/compare-4', '/compare-nope', '/compare-alice'];
export const USERS = ['compare-u1', 'compare-u2'] as const;
export const REPLICATION = 'compare-replication';

export const ALICE: Caller = { jwt: 'alice', roles: ['reader'] };
export const BOB: Caller = { jwt: 'bob', roles: ['dba'] };
export const EVE: Caller = { jwt: 'eve', roles: ['nobody'] };
export const ROOT: Caller = { jwt: 'root', roles: ['_admin'] };
export const USER_1: Caller = { basic: USERS[0], password: 'pw1' };
export const ANONYMOUS: Caller = 'anonymous';

/** A security object with grants of Couchgate and unknown fields. */
export const SECURITY = {
  members: { names: [], roles: ['reader'] },
  admins: { names: [], roles: ['dba'] },
  cloudant: { 'key-abc': ['_reader', '_writer'], nobody: [] },
  couchdb_auth_only: true,
  extra: { x: 1 },
};
