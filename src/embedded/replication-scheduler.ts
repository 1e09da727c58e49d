// Manages background replications: continuous ones of POST /_replicate and those of documents in _replicator.
import { randomBytes } from 'node:crypto';
import { Forbidden } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Database } from './database.ts';
import { type Exchange } from './exchange.ts';
import { isObject } from './json.ts';
import { NODE_NAME } from './node-name.ts';
import { type Document } from './pouch.ts';
import { endpointOf, startReplication, type Replication, type ReplicationResult } from './replication.ts';

interface Job {
  readonly id: string;
  /** Id of the document in `_replicator`; undefined for POST /_replicate. */
  readonly documentId: string | undefined;
  readonly source: string;
  readonly target: string;
  readonly started: string;
  readonly replication: Replication;
}

/** The background replications of one node. */
export class Replications {
  readonly #jobs = new Map<string, Job>();

  /** Registers a continuous replication of POST /_replicate. Returns the id that cancels it. */
  addContinuous(replication: Replication): string {
    const id = `${randomBytes(16).toString('hex')}+continuous`;
    this.#add({ id, documentId: undefined, source: '', target: '', started: now(), replication });
    return id;
  }

  /** Cancels a replication. Returns false if the id is unknown. */
  cancel(id: string): boolean {
    const job = this.#jobs.get(id);
    job?.replication.cancel();
    return this.#jobs.delete(id);
  }

  /**
   * Handles a write of a document in `_replicator`: cancels its old replication, and starts a new one unless
   * the document is deleted, completed or failed. The end of the replication is written into the document.
   */
  onDocument(database: Database, doc: Document): void {
    for (const job of this.#jobs.values()) if (job.documentId === doc._id) this.cancel(job.id);
    const state = doc['_replication_state'];
    if (doc._deleted === true || state === 'completed' || state === 'failed') return;
    const [source, target] = [endpointOf(doc['source']), endpointOf(doc['target'])];
    if (source === undefined || target === undefined) return;
    const replication = startReplication(source, target, doc);
    const job: Job = {
      id: randomBytes(16).toString('hex'),
      documentId: doc._id,
      source: withoutCredentials(source.url),
      target: withoutCredentials(target.url),
      started: now(),
      replication,
    };
    this.#add(job);
    replication.done
      .then(
        (result) => ({ _replication_state: 'completed', _replication_stats: statsOf(result, job.started) }),
        (error: unknown) => ({
          _replication_state: 'failed',
          _replication_state_reason: (error as { message?: string }).message ?? '',
        }),
      )
      .then((state) => this.#finish(database, job, state))
      .catch(() => undefined);
  }

  /** Restarts the unfinished replications of `_replicator` after a start of the node. */
  async resume(database: Database): Promise<void> {
    const { rows } = await database.storage.allDocs({ include_docs: true });
    for (const { doc } of rows) if (doc != null) this.onDocument(database, doc);
  }

  /** All running replications. */
  list(): readonly Job[] {
    return [...this.#jobs.values()];
  }

  /** Cancels all replications. */
  close(): void {
    for (const job of this.#jobs.values()) job.replication.cancel();
    this.#jobs.clear();
  }

  #add(job: Job): void {
    this.#jobs.set(job.id, job);
  }

  /** Writes the final state into the document. Does nothing if the replication was cancelled or replaced. */
  async #finish(database: Database, job: Job, state: object): Promise<void> {
    if (!this.#jobs.delete(job.id) || job.documentId === undefined || database.isRemoved) return;
    const id = job.documentId;
    await database.use(async () => {
      const doc = await database.storage.get(id);
      await database.storage.bulkDocs([{ ...doc, ...state, _replication_state_time: now() }]);
      database.publishChange();
    });
  }
}

/** The `_replicator` document to store, with its owner. Throws CouchDB's 403 for a bad source or target. */
export function checkedReplication(doc: Document, owner: string | null): Document {
  if (doc._deleted === true) return doc;
  for (const end of ['source', 'target']) {
    const given = doc[end];
    const url = isObject(given) ? given['url'] : given;
    // This is CouchDB's message for a missing source or target.
    if (typeof url !== 'string') throw new Forbidden('Missing replicator database');
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new Forbidden('local_endpoints_not_supported');
  }
  return { ...doc, owner: doc['owner'] ?? owner };
}

/** Answers GET /_scheduler/jobs. docs.couchdb.org/en/stable/api/server/common.html#scheduler-jobs */
export function schedulerJobs({ node, res }: Exchange): void {
  const jobs = node.replications.list().map((job) => ({
    database: job.documentId === undefined ? null : '_replicator',
    id: job.id,
    source: job.source,
    target: job.target,
    user: null,
    doc_id: job.documentId ?? null,
    info: null,
    history: [{ timestamp: job.started, type: 'started' }],
    node: NODE_NAME,
    start_time: job.started,
  }));
  sendJson(res, 200, { total_rows: jobs.length, offset: 0, jobs });
}

/** Answers GET /_scheduler/docs with the running replications of `_replicator` documents. */
export function schedulerDocs({ node, res }: Exchange): void {
  const docs = node.replications
    .list()
    .filter((job) => job.documentId !== undefined)
    .map((job) => ({
      database: '_replicator',
      doc_id: job.documentId,
      id: job.id,
      node: NODE_NAME,
      source: job.source,
      target: job.target,
      state: 'running',
      info: null,
      error_count: 0,
      last_updated: job.started,
      start_time: job.started,
    }));
  sendJson(res, 200, { total_rows: docs.length, offset: 0, docs });
}

function statsOf(result: ReplicationResult, started: string): object {
  return {
    revisions_checked: result.docs_read,
    missing_revisions_found: result.docs_read,
    docs_read: result.docs_read,
    docs_written: result.docs_written,
    changes_pending: null,
    doc_write_failures: result.doc_write_failures,
    bulk_get_docs: result.docs_read,
    bulk_get_attempts: result.docs_read,
    checkpointed_source_seq: String(result.last_seq),
    start_time: started,
  };
}

function withoutCredentials(address: string): string {
  const url = new URL(address);
  url.username = url.password = '';
  return url.href;
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z');
}
