// What one step of the comparison is: a request, who asks, and what later steps need of its answer.

export type Who =
  | 'owner'
  | 'nobody'
  | { readonly jwt: string; readonly roles: readonly string[] }
  | { readonly basic: string; readonly password: string }
  | { readonly token: string };

/** Answers that earlier steps kept, and where the server is. */
export interface Seen {
  readonly url: string;
  readonly owner: { readonly name: string; readonly password: string };
  /** A member of a kept answer as text, empty when it is not there. */
  text(kept: string, member: string): string;
  /** The whole kept answer. */
  json(kept: string): unknown;
  cookie(kept: string): string;
}

export type Given<T> = T | ((seen: Seen) => T);

export interface Step {
  readonly name: string;
  readonly method: string;
  readonly path: Given<string>;
  /** The owner when it is not said. */
  readonly who?: Who;
  readonly headers?: Given<Readonly<Record<string, string>>>;
  /** Text and bytes are sent as they are, anything else as JSON. */
  readonly body?: Given<unknown>;
  /** Keeps the answer under this name. */
  readonly keep?: string;
  /** Ends an open feed after so long, and takes what has come. */
  readonly stopAfterMs?: number;
  /** A document that is written so long after the request was sent. */
  readonly meanwhile?: { readonly afterMs: number; readonly path: string };
  readonly pauseMs?: number;
  /** Asks again, for some seconds, until the answer has this member. */
  readonly until?: string;
}

type Rest = Omit<Step, 'name' | 'method' | 'path'>;

const stepOf =
  (method: string) =>
  (name: string, path: Given<string>, rest: Rest = {}): Step => ({ name, method, path, ...rest });

export const get = stepOf('GET');
export const head = stepOf('HEAD');
export const put = stepOf('PUT');
export const post = stepOf('POST');
export const del = stepOf('DELETE');
export const copy = stepOf('COPY');

export const DB = '/compare-1';
export const TARGETS = ['/compare-2', '/compare-3'] as const;
/** Every database that a run may leave behind. */
export const DATABASES = [DB, ...TARGETS, '/compare-4', '/compare-nope', '/compare-alice'];
export const USERS = ['compare-u1', 'compare-u2'] as const;
export const REPLICATION = 'compare-replication';

export const ALICE: Who = { jwt: 'alice', roles: ['reader'] };
export const BOB: Who = { jwt: 'bob', roles: ['dba'] };
export const EVE: Who = { jwt: 'eve', roles: ['nobody'] };
export const ROOT: Who = { jwt: 'root', roles: ['_admin'] };
export const USER_1: Who = { basic: USERS[0], password: 'pw1' };
export const NOBODY: Who = 'nobody';

export const SECURITY = {
  members: { names: [], roles: ['reader'] },
  admins: { names: [], roles: ['dba'] },
  cloudant: { 'key-abc': ['_reader', '_writer'], nobody: [] },
  couchdb_auth_only: true,
  extra: { x: 1 },
};
