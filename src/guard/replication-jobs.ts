// Validates the fields of a replication job, and the owner of documents in `_replicator` (H9).
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { type Couch } from '../couch/couch.ts';
import { AnswerTooLarge } from '../couch/failure.ts';
import { BadRequest, Forbidden, TooLarge, Unavailable } from '../http-errors.ts';
import { type Principal } from '../principal/principal.ts';
import { guardFields } from './replication-fields.ts';
import { guardEndpoint, type EndpointRules } from './replication-endpoint.ts';

export interface JobRules extends EndpointRules {
  readonly principal: Principal;
}

/** Fields that would send a job or its credentials through a third party. */
const PROXIES = ['proxy', 'source_proxy', 'target_proxy'] as const;
/** Reason of CouchDB (couch_replicator_docs.erl), which clients parse. */
const OTHERS_JOB = "Can't update replication documents from other users.";

/** Validates the body of POST /_replicate. A cancellation by id has no endpoints. */
export async function guardReplicateBody(body: JsonObject, rules: JobRules): Promise<JsonObject> {
  const isById = ['id', 'replication_id', '_local_id'].some((field) => body[field] !== undefined);
  const needsEndpoints = body['cancel'] !== true || !isById;
  return guardJob(body, rules, needsEndpoints);
}

/**
 * Validates one document of `_replicator`. Only the owner may write other documents there: design documents
 * hold code, and `_local/` documents hold checkpoints.
 */
export async function guardDocument(
  document: JsonObject,
  id: string | undefined,
  rules: JobRules,
): Promise<JsonObject> {
  if (id?.startsWith('_design/') === true || id?.startsWith('_local/') === true) {
    if (rules.principal.kind !== 'owner')
      throw new Forbidden('server_admin access is required for this request');
    return document;
  }
  refuseForgedOwner(document, rules.principal);
  return document['_deleted'] === true ? deletionOf(document) : guardJob(document, rules, true);
}

/** What CouchDB needs of a deletion. `_revisions` comes with revisions that the owner writes as they are. */
const FIELDS_OF_DELETION = ['_id', '_rev', '_deleted', '_revisions', 'owner'] as const;

/**
 * Clients delete by sending the document back with `_deleted`. CouchDB does not run a deleted job, so its
 * other fields are neither checked nor stored: a host that is closed by now must not keep a job alive.
 */
function deletionOf(document: JsonObject): JsonObject {
  const needed = FIELDS_OF_DELETION.filter((field) => document[field] !== undefined);
  return guardFields(Object.fromEntries(needed.map((field) => [field, document[field]])));
}

async function guardJob(job: JsonObject, rules: JobRules, needsEndpoints: boolean): Promise<JsonObject> {
  for (const field of PROXIES) {
    if (job[field] !== undefined) throw new Forbidden(`\`${field}\` is not allowed in a replication.`);
  }
  const { user_ctx: userContext, ...rest } = guardFields(job);
  refuseForgedUser(userContext, rules.principal);
  if (!needsEndpoints && job['source'] === undefined && job['target'] === undefined) return rest;
  const source = await guardEndpoint('source', job['source'], rules);
  const target = await guardEndpoint('target', job['target'], rules);
  if (job['create_target'] === true && target.isLocal && rules.principal.kind !== 'owner') {
    throw new Forbidden('server_admin access is required for this request');
  }
  return { ...rest, source: source.value, target: target.value };
}

/**
 * `user_ctx` has no effect since CouchDB 3.2. Clients still send their own name, and roles without meaning.
 */
function refuseForgedUser(userContext: unknown, principal: Principal): void {
  if (userContext === undefined) return;
  const { name } = (userContext ?? {}) as { readonly name?: unknown };
  if (name !== undefined && name !== null && name !== principal.name) {
    throw new Forbidden('`user_ctx.name` must be your own name.');
  }
}

function refuseForgedOwner(document: JsonObject, principal: Principal): void {
  const { owner } = document;
  if (principal.kind !== 'owner' && owner !== undefined && owner !== principal.name) {
    throw new Forbidden(OTHERS_JOB);
  }
}

/** Ids in one question to CouchDB. */
const IDS_AT_ONCE = 500;
/** Documents in one answer: each can have megabytes, and their owner alone matters. */
const DOCUMENTS_AT_ONCE = 8;
/** Bytes of existing documents that one request may make Couchgate read. */
const MAX_READ_BYTES = 64 * 1024 * 1024;

interface JobRow {
  readonly key: string;
  readonly value?: { readonly deleted?: unknown };
  readonly doc?: JsonObject | null;
  readonly error?: unknown;
}

/**
 * Throws Forbidden if one of these documents exists and has another owner. CouchDB itself lets a writer take
 * over a job by omitting `owner`, and lets every writer delete it. Reads only documents that exist, few at
 * once, and counts against the reads of the caller (H15).
 */
export async function refuseOthersJobs(
  couch: Pick<Couch, 'ask'>,
  ids: readonly string[],
  principal: Principal,
): Promise<void> {
  if (principal.kind === 'owner') return;
  const existing: string[] = [];
  for (const keys of inPortions([...new Set(ids)], IDS_AT_ONCE)) {
    const { rows } = await rowsOf(couch, keys, principal, { documents: false, maxBytes: MAX_READ_BYTES });
    existing.push(...rows.filter(({ value }) => value !== undefined).map(({ key }) => key));
  }
  let left = MAX_READ_BYTES;
  for (const keys of inPortions(existing, DOCUMENTS_AT_ONCE)) {
    const { rows, bytes } = await rowsOf(couch, keys, principal, { documents: true, maxBytes: left });
    left -= bytes;
    for (const { doc } of rows)
      if (doc !== undefined && doc !== null && doc['owner'] !== principal.name)
        throw new Forbidden(OTHERS_JOB);
  }
}

async function rowsOf(
  couch: Pick<Couch, 'ask'>,
  keys: readonly string[],
  { name }: Principal,
  { documents, maxBytes }: { readonly documents: boolean; readonly maxBytes: number },
): Promise<{ readonly rows: readonly JobRow[]; readonly bytes: number }> {
  const path = `/_replicator/_all_docs${documents ? '?include_docs=true' : ''}`;
  const request = { method: 'POST', path, body: { keys }, repeatable: true, caller: name, maxBytes } as const;
  const {
    status,
    body,
    bytes = 0,
  } = await couch.ask(request).catch((error: unknown) => {
    if (!(error instanceof AnswerTooLarge)) throw error;
    throw new TooLarge('the replication documents of the request are too large together');
  });
  if (status === 404) return { rows: [], bytes };
  const { rows } = (body ?? {}) as { readonly rows?: unknown };
  const isRead = status === 200 && Array.isArray(rows) && (rows as readonly JobRow[]).every(isFoundOrMissing);
  if (!isRead) throw new Unavailable('The owner of the replication document cannot be read at present.');
  return { rows: rows as readonly JobRow[], bytes };
}

function isFoundOrMissing({ error }: JobRow): boolean {
  return error === undefined || error === 'not_found';
}

function* inPortions<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}

/**
 * Returns the documents of a `_bulk_docs` body. With `new_edits: false`, CouchDB stores revisions unchecked,
 * also over the job of another user, so only the owner may use it.
 */
export function documentsOf(body: JsonObject, principal: Principal): readonly JsonObject[] {
  const { docs, new_edits: newEdits } = body;
  if (newEdits !== undefined && typeof newEdits !== 'boolean')
    throw new BadRequest('`new_edits` must be a boolean.');
  if (newEdits === false && principal.kind !== 'owner')
    throw new Forbidden('server_admin access is required for this request');
  if (!Array.isArray(docs) || !docs.every(isJsonObject))
    throw new BadRequest('`docs` must be an array of documents.');
  return docs;
}

/** Returns the `_id` of a document. */
export function idOf(document: JsonObject): string | undefined {
  const { _id: id } = document;
  if (id !== undefined && typeof id !== 'string') throw new BadRequest('`_id` must be a string.');
  return id;
}
