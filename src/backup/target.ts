// Writes into the database that a restore makes: creation, revisions as they were, attachments as streams.
import { setTimeout as delay } from 'node:timers/promises';
import { type CouchTransfer, type TransferAnswer, type TransferRequest } from '../couch/transfer.ts';
import { databasePath, documentPath } from '../couch/document-path.ts';
import { Unavailable } from '../http-errors.ts';
import { parseJson } from '../json/parse.ts';
import { partsOf } from './attachment-part.ts';
import { documentFault } from './document-fault.ts';
import { BackupError } from './errors.ts';
import { withAttachments } from './leaf.ts';
import { multipartBody } from './multipart.ts';
import { type PackedLeaf } from './pack.ts';
import { Patience } from './patience.ts';
import { type Repository } from './repository.ts';
import { type DocumentProblem } from './problem-list.ts';
import { type DatabaseProperties } from './snapshot.ts';

/** Only server admins may read or write. Written before any document: a restore gives access to nobody. */
export const OWNER_ONLY = {
  admins: { names: [], roles: ['_admin'] },
  members: { names: [], roles: ['_admin'] },
};

const GONE_POLL_MS = 100;
const GONE_TIMEOUT_MS = 30_000;

/** A leaf as JSON. */
export interface LeafToWrite {
  readonly id: string;
  readonly rev: string;
  readonly json: string;
}

export class RestoreTarget {
  readonly database: string;
  /** How long the run may wait for documents that cannot be written: clients can store many of them. */
  readonly #patience = new Patience();
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
    await this.close();
    if (!(await this.isOwnerOnly()))
      throw new BackupError(
        `The database ${this.database} could not be closed to everybody but server admins; it is empty, and nothing was restored.`,
      );
    await this.setLimits(properties);
  }

  /** Closes the database to everybody but server admins; `isOwnerOnly` says whether CouchDB kept that. */
  async close(): Promise<void> {
    await this.setSecurity(JSON.stringify(OWNER_ONLY));
  }

  /** The security object as the JSON text of CouchDB. */
  async security(): Promise<string> {
    const answer = await this.#couch.ask({ method: 'GET', path: `${this.#path}/_security` });
    if (answer.status !== 200) throw this.#failed('reading _security', answer.status, answer);
    return answer.bytes.toString();
  }

  /** Replaces the security object by a JSON text. */
  async setSecurity(json: string): Promise<void> {
    await this.#put('/_security', json);
  }

  async setLimits({ revs_limit, purged_infos_limit }: DatabaseProperties): Promise<void> {
    await this.#put('/_revs_limit', JSON.stringify(revs_limit));
    await this.#put('/_purged_infos_limit', JSON.stringify(purged_infos_limit), [404, 405, 501]);
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

  /** Writes leaves with their history. Returns those that CouchDB refused, or fails at. */
  async writeLeaves(docs: readonly LeafToWrite[], isPatient = true): Promise<readonly DocumentProblem[]> {
    const body = `{"new_edits":false,"docs":[${docs.map(({ json }) => json).join(',')}]}`;
    const path = `${this.#path}/_bulk_docs`;
    const [first, ...others] = docs;
    if (first === undefined) return [];
    const written = await this.#write({ method: 'POST', path, body }, others.length === 0, isPatient);
    if ('failures' in written) return written.failures;
    // One document that is too large or refused fails the whole request.
    if (others.length === 0)
      return (await this.#has(first)) ? [] : [{ id: first.id, reason: written.reason }];
    const middle = docs.length >>> 1;
    return [
      ...(await this.writeLeaves(docs.slice(0, middle), false)),
      ...(await this.writeLeaves(docs.slice(middle), false)),
    ];
  }

  /** Writes one leaf with attachments, which are streamed from the repository. */
  async writeWithAttachments(
    repository: Repository,
    packed: PackedLeaf,
  ): Promise<DocumentProblem | undefined> {
    const { leaf } = packed;
    const { stubs, parts } = partsOf(repository, packed);
    const { contentType, contentLength, open } = multipartBody(
      withAttachments(leaf, jsonObject(stubs)),
      parts,
    );
    const path = `${documentPath(this.database, leaf.id)}?new_edits=false`;
    const request = { method: 'PUT', path, body: open, contentType, contentLength } as const;
    const written = await this.#write(request, true, true);
    // The revision is in the head of the answer: it may have been written, and yet make the answer invalid.
    if ('failures' in written || (await this.#has(leaf))) return undefined;
    return { id: leaf.id, reason: written.reason };
  }

  /**
   * Writes, twice if it is one document at which CouchDB fails: it gets a second chance after an outage.
   * `reason` = the documents are at fault, and others can be written (H39.4). Throws any other failure.
   */
  async #write(
    request: TransferRequest,
    isSingle: boolean,
    isPatient: boolean,
  ): Promise<{ readonly failures: readonly DocumentProblem[] } | { readonly reason: string }> {
    for (let attempt = 1; ; attempt += 1) {
      const begin = performance.now();
      try {
        const waits = this.#patience.isLeft && (isPatient || attempt > 1);
        const patience = waits ? {} : { patienceMs: 0 };
        return this.#outcomeOf(request, await this.#couch.ask({ ...request, ...patience, repeatable: true }));
      } catch (error) {
        this.#patience.spent(performance.now() - begin);
        const reason = await this.#faultOf(error);
        if (attempt === 2 || !isSingle || !(error instanceof Unavailable)) return { reason };
      }
    }
  }

  #outcomeOf({ method }: TransferRequest, answer: TransferAnswer) {
    const { status, bytes } = answer;
    // 200 = it wrote a deleted document.
    if (method === 'PUT' && [200, 201, 202].includes(status)) return { failures: [] };
    if (status === 201 || status === 202) {
      // With new_edits=false, CouchDB lists failures only, and its status is 201 anyway.
      const failures = parseJson(bytes) as readonly { id?: string; error?: string; reason?: string }[];
      return {
        failures: failures
          .filter(({ error }) => error !== undefined)
          .map(({ id = '', error, reason }) => ({ id, reason: `${String(error)}: ${String(reason)}` })),
      };
    }
    if (method === 'POST' && status === 404) throw this.#failed('writing documents', status, answer);
    return { reason: sentence(answer) };
  }

  /** A sentence if what was written is at fault; throws the failure of anything else. */
  async #faultOf(error: unknown): Promise<string> {
    if (error instanceof Unavailable) {
      await this.#proveWritable();
      return `CouchDB fails at it${error.detail === undefined ? '' : ` (${error.detail})`}`;
    }
    const reason = documentFault(error);
    if (reason === undefined) throw error;
    return reason;
  }

  /** Writes what is there already. Throws if that fails too, with all the patience that an outage gets. */
  async #proveWritable(): Promise<void> {
    const answer = await this.#couch.ask({ method: 'GET', path: `${this.#path}/_revs_limit` });
    if (answer.status !== 200) throw this.#failed('reading revs_limit', answer.status, answer);
    await this.#put('/_revs_limit', answer.bytes.toString());
  }

  /** True if CouchDB has this revision. Its answer has no text of clients outside of the body. */
  async #has({ id, rev }: Pick<LeafToWrite, 'id' | 'rev'>): Promise<boolean> {
    const path = `${this.#path}/_revs_diff`;
    const body = `{${JSON.stringify(id)}:[${JSON.stringify(rev)}]}`;
    try {
      const answer = await this.#couch.ask({ method: 'POST', path, body, repeatable: true, patienceMs: 0 });
      return answer.status === 200 && Object.keys(parseJson(answer.bytes) as object).length === 0;
    } catch (error) {
      if (error instanceof Unavailable || documentFault(error) !== undefined) return false;
      throw error;
    }
  }

  async #put(path: string, body: string, ignored: readonly number[] = []): Promise<void> {
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
