// Writes into the database that a restore makes: creation, revisions as they were, attachments as streams.
import { setTimeout as delay } from 'node:timers/promises';
import { type CouchTransfer, type TransferAnswer } from '../couch/transfer.ts';
import { databasePath, documentPath } from '../couch/document-path.ts';
import { parseJson } from '../json/parse.ts';
import { partsOf } from './attachment-part.ts';
import { BackupError } from './errors.ts';
import { withAttachments } from './leaf.ts';
import { multipartBody } from './multipart.ts';
import { type PackedLeaf } from './pack.ts';
import { type Repository } from './repository.ts';
import { type DatabaseProperties, type Problem } from './snapshot.ts';

/** Only server admins may read or write. Written before any document: a restore gives access to nobody. */
export const OWNER_ONLY = {
  admins: { names: [], roles: ['_admin'] },
  members: { names: [], roles: ['_admin'] },
};

const GONE_POLL_MS = 100;
const GONE_TIMEOUT_MS = 30_000;

export class RestoreTarget {
  readonly database: string;
  readonly #couch: CouchTransfer;
  readonly #path: string;

  constructor(couch: CouchTransfer, database: string) {
    this.database = database;
    this.#couch = couch;
    this.#path = databasePath(database);
  }

  async exists(): Promise<boolean> {
    const { status } = await this.#couch.ask({ method: 'GET', path: this.#path });
    if (status === 200) return true;
    if (status === 404) return false;
    throw this.#failed('reading the database', status);
  }

  /**
   * Creates the database with these properties, for server admins only. Throws a BackupError if it exists:
   * its data and its permissions are never touched.
   */
  async create(properties: DatabaseProperties): Promise<void> {
    const { q, n, partitioned } = properties;
    const query = `?q=${q}&n=${n}${partitioned ? '&partitioned=true' : ''}`;
    const created = await this.#couch.ask({ method: 'PUT', path: `${this.#path}${query}` });
    if (created.status === 412)
      throw new BackupError(`The database ${this.database} exists already; nothing was changed.`);
    if (created.status >= 300) throw this.#failed('creating the database', created.status, created);
    await this.#put('/_security', OWNER_ONLY);
    if (!(await this.isOwnerOnly()))
      throw new BackupError(
        `The database ${this.database} could not be closed to everybody but server admins; it is empty, and nothing was restored.`,
      );
    await this.setLimits(properties);
  }

  async setLimits({ revs_limit, purged_infos_limit }: DatabaseProperties): Promise<void> {
    await this.#put('/_revs_limit', revs_limit);
    await this.#put('/_purged_infos_limit', purged_infos_limit, [404, 405, 501]);
  }

  /** True if only server admins may read or write the database. */
  async isOwnerOnly(): Promise<boolean> {
    const { status, bytes } = await this.#couch.ask({ method: 'GET', path: `${this.#path}/_security` });
    return status === 200 && isOwnerOnly(parseJson(bytes));
  }

  /** False if this server cannot purge. */
  async canPurge(): Promise<boolean> {
    const { status } = await this.#couch.ask({ method: 'POST', path: `${this.#path}/_purge`, body: '{}' });
    return status < 300;
  }

  /** Removes every trace of these revisions. False if this server cannot purge. */
  async purge(revisions: ReadonlyMap<string, readonly string[]>): Promise<boolean> {
    if (revisions.size === 0) return true;
    const body = `{${[...revisions].map(([id, revs]) => `${JSON.stringify(id)}:${JSON.stringify(revs)}`).join(',')}}`;
    const path = `${this.#path}/_purge`;
    const answer = await this.#couch.ask({ method: 'POST', path, body, repeatable: true });
    if ([404, 405, 501].includes(answer.status)) return false;
    if (answer.status >= 300) throw this.#failed('purging documents', answer.status, answer);
    return true;
  }

  async remove(): Promise<void> {
    const { status } = await this.#couch.ask({ method: 'DELETE', path: this.#path });
    if (status >= 300 && status !== 404) throw this.#failed('removing the database', status);
  }

  /** Waits until CouchDB does not show a removed database any more. */
  async untilGone(): Promise<void> {
    for (let waitedMs = 0; await this.exists(); waitedMs += GONE_POLL_MS) {
      if (waitedMs > GONE_TIMEOUT_MS) throw new BackupError(`CouchDB still shows ${this.database}.`);
      await delay(GONE_POLL_MS);
    }
  }

  /** Writes leaves with their history. Returns those that CouchDB refused. */
  async writeLeaves(
    docs: readonly { readonly id: string; readonly json: string }[],
  ): Promise<readonly Problem[]> {
    const body = `{"new_edits":false,"docs":[${docs.map(({ json }) => json).join(',')}]}`;
    const path = `${this.#path}/_bulk_docs`;
    const answer = await this.#couch.ask({ method: 'POST', path, body, repeatable: true });
    if (answer.status === 201 || answer.status === 202) {
      // With new_edits=false, CouchDB lists failures only, and its status is 201 anyway.
      const failures = parseJson(answer.bytes) as readonly { id?: string; error?: string; reason?: string }[];
      return failures
        .filter(({ error }) => error !== undefined)
        .map(({ id = '', error, reason }) => ({ id, reason: `${String(error)}: ${String(reason)}` }));
    }
    if (answer.status === 404) throw this.#failed('writing documents', answer.status, answer);
    // One document that is too large or refused fails the whole request.
    if (docs.length === 1) return [{ id: docs[0]?.id ?? '', reason: sentence(answer) }];
    const middle = docs.length >>> 1;
    return [
      ...(await this.writeLeaves(docs.slice(0, middle))),
      ...(await this.writeLeaves(docs.slice(middle))),
    ];
  }

  /** Writes one leaf with attachments, which are streamed from the repository. */
  async writeWithAttachments(repository: Repository, packed: PackedLeaf): Promise<Problem | undefined> {
    const { leaf } = packed;
    const { stubs, parts } = partsOf(repository, packed);
    const json = withAttachments(leaf, jsonObject(stubs));
    const answer = await this.#putMultipart(
      `${documentPath(this.database, leaf.id)}?new_edits=false`,
      json,
      parts,
    );
    // 200 = it wrote a deleted document.
    return [200, 201, 202].includes(answer.status) ? undefined : { id: leaf.id, reason: sentence(answer) };
  }

  async #putMultipart(
    path: string,
    json: string,
    parts: Parameters<typeof multipartBody>[1],
  ): Promise<TransferAnswer> {
    const { contentType, contentLength, open } = multipartBody(json, parts);
    return this.#couch.ask({ method: 'PUT', path, body: open, contentType, contentLength, repeatable: true });
  }

  async #put(path: string, value: unknown, ignored: readonly number[] = []): Promise<void> {
    const body = JSON.stringify(value);
    const answer = await this.#couch.ask({
      method: 'PUT',
      path: `${this.#path}${path}`,
      body,
      repeatable: true,
    });
    if (answer.status >= 300 && !ignored.includes(answer.status))
      throw this.#failed(`writing ${path.slice(1)}`, answer.status, answer);
  }

  #failed(doing: string, status: number, answer?: TransferAnswer): BackupError {
    const detail = answer === undefined ? `CouchDB answered ${status}` : sentence(answer);
    return new BackupError(`Restoring into ${this.database} failed, ${doing}: ${detail}.`);
  }
}

/** JSON of an object whose names may be `__proto__`. */
export function jsonObject(entries: readonly (readonly [string, object])[]): string {
  return `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
}

export function sentence({ status, bytes }: TransferAnswer): string {
  try {
    const { error, reason } = parseJson(bytes) as { error?: unknown; reason?: unknown };
    return `CouchDB answered ${status} (${String(error)}: ${String(reason)})`;
  } catch {
    return `CouchDB answered ${status}`;
  }
}

/** CouchDB leaves out empty lists. Couchgate adds markers, which only Couchgate issues. */
function isOwnerOnly(security: unknown): boolean {
  const { admins, members, cloudant, couchdb_auth_only: authOnly } = security as Record<string, unknown>;
  const lists = (part: unknown): readonly unknown[][] => {
    const { names = [], roles = [] } = (part ?? {}) as { names?: unknown[]; roles?: unknown[] };
    return [names, roles];
  };
  const isClosed = (part: unknown): boolean => {
    const [names = [], roles = []] = lists(part);
    return names.length === 0 && roles.length === 1 && roles[0] === '_admin';
  };
  return isClosed(admins) && isClosed(members) && cloudant === undefined && authOnly !== true;
}
