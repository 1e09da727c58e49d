// Answers _bulk_docs, _bulk_get, _revs_diff and _missing_revs.
import { BadRequest } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { accepts } from './accept.ts';
import { readJsonObject } from './body.ts';
import { checkedDocument, inCouchOrder } from './document-check.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { isObject, type Json } from './json.ts';
import { sendLeavesAsMultipart } from './multipart-write.ts';
import { isRevision, isSet, requireRevision } from './parameters.ts';
import { type Document, type Leaf, type Storage, type StoredDocument } from './pouch.ts';
import { newDocumentId, writeDocuments, type WriteResult } from './write.ts';

/** The methods of `/{db}/_bulk_docs`. */
export const bulkDocsMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: bulkDocs };
/** The methods of `/{db}/_bulk_get`. */
export const bulkGetMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: bulkGet };
/** The methods of `/{db}/_revs_diff`. */
export const revsDiffMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: revsDiff };
/** The methods of `/{db}/_missing_revs`. */
export const missingRevsMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: missingRevs };

/** docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-docs */
async function bulkDocs(exchange: DatabaseExchange): Promise<void> {
  const body = await readJsonObject(exchange.req, 'required');
  const { docs, new_edits: newEdits = true } = body;
  if (docs === undefined) throw new BadRequest('POST body must include `docs` parameter.');
  if (!Array.isArray(docs)) throw new BadRequest('`docs` parameter must be an array.');
  if (typeof newEdits !== 'boolean') throw new BadRequest('`new_edits` parameter must be a boolean.');
  const checked = docs.map((doc: unknown) => bulkDocument(doc, newEdits));
  const results = await writeDocuments(exchange, checked, newEdits);
  const reported = newEdits ? results : results.filter((result) => 'error' in result);
  sendJson(exchange.res, 201, reported.map(bulkDocsRow));
}

function bulkDocument(doc: unknown, newEdits: boolean): Document {
  if (!isObject(doc)) throw new BadRequest('Document must be a JSON object');
  const checked = checkedDocument(doc, (doc['_id'] ?? newDocumentId()) as string);
  if (!newEdits) requireRevision(checked._rev ?? setRevisionFromHistory(checked));
  return checked;
}

/**
 * Sets `_rev` to the newest entry of `_revisions`, because the result of a write reports `_rev`. Returns it.
 */
function setRevisionFromHistory(doc: Document): string | undefined {
  const history = doc['_revisions'] as { start: number; ids: string[] } | undefined;
  if (history === undefined) return undefined;
  doc._rev = `${history.start}-${history.ids[0] ?? ''}`;
  return doc._rev;
}

function bulkDocsRow(result: WriteResult): object {
  if ('error' in result) return { id: result.id, error: result.error.error, reason: result.error.reason };
  return { ok: true, id: result.id, rev: result.rev };
}

/** docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-get */
async function bulkGet({ req, res, query, database }: DatabaseExchange): Promise<void> {
  const { docs } = await readJsonObject(req, 'required');
  if (!Array.isArray(docs)) throw new BadRequest("Missing JSON list of 'docs'.");
  const multipart = !accepts(req, 'application/json') && accepts(req, 'multipart/mixed');
  const options = {
    revs: isSet(query, 'revs'),
    latest: isSet(query, 'latest'),
    attachments: multipart || isSet(query, 'attachments'),
  };
  const results: BulkGetResult[] = [];
  for (const item of docs) results.push(await bulkGetOne(item, options, database.storage));
  if (multipart) sendLeavesAsMultipart(res, results.flatMap(leavesOf));
  else sendJson(res, 200, { results: results.map(bulkGetRow) });
}

interface BulkGetResult {
  readonly id: unknown;
  readonly docs: readonly ({ readonly ok: StoredDocument } | { readonly error: Json })[];
}

function leavesOf(result: BulkGetResult): Leaf[] {
  return result.docs.map((each) => ('ok' in each ? each : { missing: String(each.error['rev']) }));
}

function bulkGetRow({ id, docs }: BulkGetResult): object {
  return { id, docs: docs.map((each) => ('ok' in each ? { ok: inCouchOrder(each.ok) } : each)) };
}

async function bulkGetOne(item: unknown, options: Json, storage: Storage): Promise<BulkGetResult> {
  const errorResult = (id: unknown, rev: unknown, error: string, reason: string) => ({
    id,
    docs: [{ error: { id, rev, error, reason } }],
  });
  if (!isObject(item) || Object.keys(item).length === 0)
    return errorResult(null, null, 'bad_request', 'document must be a JSON object');
  const { id, rev } = item;
  if (id === undefined) return errorResult(null, null, 'bad_request', 'document id missed');
  if (typeof id !== 'string') return errorResult(id, null, 'illegal_docid', 'Document id must be a string');
  if (rev !== undefined && !isRevision(rev)) return errorResult(id, rev, 'bad_request', 'Invalid rev format');
  const missing = { error: { id, rev: rev ?? 'undefined', error: 'not_found', reason: 'missing' } };
  if (id.startsWith('_local/')) return { id, docs: [missing] };
  const answer = await storage.bulkGet({ ...options, docs: [{ id, ...(rev === undefined ? {} : { rev }) }] });
  const found = answer.results[0]?.docs ?? [];
  return { id, docs: found.map((each) => ('ok' in each ? each : missing)) };
}

async function readRevisions({ req }: DatabaseExchange): Promise<Record<string, string[]>> {
  const body = await readJsonObject(req, 'required');
  for (const revs of Object.values(body)) {
    if (!Array.isArray(revs)) throw new BadRequest('Invalid list of revisions');
    for (const rev of revs) requireRevision(rev);
  }
  return body as Record<string, string[]>;
}

/** docs.couchdb.org/en/stable/api/database/misc.html#db-revs-diff */
async function revsDiff(exchange: DatabaseExchange): Promise<void> {
  const { storage } = exchange.database;
  const missing = await storage.revsDiff(await readRevisions(exchange));
  const answer = new Map<string, object>();
  for (const [id, revs] of Object.entries(missing)) {
    const ancestors = await possibleAncestors(storage, id, revs.missing);
    answer.set(id, {
      missing: revs.missing,
      ...(ancestors.length === 0 ? {} : { possible_ancestors: ancestors }),
    });
  }
  sendJson(exchange.res, 200, Object.fromEntries(answer));
}

/** Leaf revisions that may be ancestors of a missing one: those of a lower generation. */
async function possibleAncestors(
  storage: Storage,
  id: string,
  missing: readonly string[],
): Promise<string[]> {
  const leaves = await storage.get(id, { open_revs: 'all' }).catch(() => []);
  const highest = Math.max(...missing.map((rev) => parseInt(rev, 10)));
  const revs = leaves.flatMap((leaf) => ('ok' in leaf ? [leaf.ok._rev] : []));
  return revs.filter((rev) => parseInt(rev, 10) < highest);
}

async function missingRevs(exchange: DatabaseExchange): Promise<void> {
  const missing = await exchange.database.storage.revsDiff(await readRevisions(exchange));
  sendJson(exchange.res, 200, {
    missing_revs: Object.fromEntries(Object.entries(missing).map(([id, revs]) => [id, revs.missing])),
  });
}
