// Requests of tests about the permissions of databases and their history, through one Couchgate.
import assert from 'node:assert/strict';
import { type Answer, type AskOptions, type Couchgate, type Credentials } from './couchgate.ts';

/** One entry of a history, as a client gets it. */
export interface Entry {
  readonly revision: number;
  readonly generation: string;
  readonly by: string;
  readonly via: string;
  readonly at: string;
  readonly reason?: string;
  readonly request_id?: string;
  readonly changes: readonly {
    readonly name: string;
    readonly before: readonly string[];
    readonly after: readonly string[];
  }[];
}

export interface PermissionFront {
  asOwner(method: string, path: string, options?: AskOptions): Promise<Answer>;
  /** Puts a `cloudant` map as the owner; resolves with the new revision. */
  put(database: string, cloudant: object, options?: AskOptions): Promise<number>;
  /** The `cloudant` map that the owner gets. */
  cloudantOf(database: string): Promise<unknown>;
  /** The history, as the owner unless `as` says otherwise. */
  historyOf(database: string, query?: string, as?: Credentials): Promise<readonly Entry[]>;
  rollback(database: string, revision: unknown, options?: AskOptions & { query?: string }): Promise<Answer>;
}

/** The path of the security object, and of what is below it. */
export function securityPath(database: string, more = ''): string {
  return `/_api/v2/db/${encodeURIComponent(database)}/_security${more}`;
}

export function permissionFront(gate: Couchgate): PermissionFront {
  const asOwner = (method: string, path: string, options: AskOptions = {}): Promise<Answer> =>
    gate.ask(method, path, { as: gate.owner, ...options });
  return {
    asOwner,
    async put(database, cloudant, options = {}) {
      const answer = await asOwner('PUT', securityPath(database), { body: { cloudant }, ...options });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return (answer.body as { revision: number }).revision;
    },
    async cloudantOf(database) {
      const { body } = await asOwner('GET', securityPath(database));
      return (body as { cloudant?: unknown }).cloudant;
    },
    async historyOf(database, query = '', as = gate.owner) {
      const { status, body } = await gate.ask('GET', securityPath(database, `/history${query}`), { as });
      assert.equal(status, 200, JSON.stringify(body));
      return (body as { history: readonly Entry[] }).history;
    },
    rollback(database, revision, { query = '', ...options } = {}) {
      const path = securityPath(database, `/rollback${query}`);
      return asOwner('POST', path, { body: { revision }, ...options });
    },
  };
}
