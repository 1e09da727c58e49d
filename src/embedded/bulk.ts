// Answers the calls about many documents at once: _bulk_docs, _bulk_get, _revs_diff, _missing_revs. The rules of writing are write.ts's business.
import { BadRequest } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { accepts } from './accept.ts';
import { readJsonObject } from './body.ts';
import { checkedDocument, shown } from './document-check.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { isObject, type Json } from './json.ts';
import { sendLeavesAsMultipart } from './multipart-write.ts';
import { isRevision, isSet, requireRevision } from './parameters.ts';
import { type Document, type Leaf, type Storage, type StoredDocument } from './pouch.ts';
import { newDocumentId, writeDocuments, type WriteResult } from './write.ts';

export const bulkDocsMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: bulkDocs };
export const bulkGetMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: bulkGet };
export const revsDiffMethods: Methods<DatabaseExchange> = { allow: 'POST', POST: revsDiff };
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
  const told = newEdits ? results : results.filter((result) => 'error' in result);
  sendJson(exchange.res, 201, told.map(shownResult));
}

function bulkDocument(doc: unknown, newEdits: boolean): Document {
  if (!isObject(doc)) throw new BadRequest('Document must be a JSON object');
  const checked = checkedDocument(doc, (doc['_id'] ?? newDocumentId()) as string);
  if (!newEdits) requireRevision(checked._rev ?? revisionOfHistory(checked));
  return checked;
}

function revisionOfHistory(doc: Document): string | undefined {
  const history = doc['_revisions'] as { start: number; ids: string[] } | undefined;
  if (history === undefined) return undefined;
  doc._rev = `${history.start}-${history.ids[0] ?? ''}`;
  return doc._rev;
}

function shownResult(result: WriteResult): object {
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
  for (const wanted of docs) results.push(await bulkGetOne(wanted, options, database.storage));
  if (multipart) sendLeavesAsMultipart(res, results.flatMap(leavesOf));
  else sendJson(res, 200, { results: results.map(shownBulkGet) });
}

interface BulkGetResult {
  readonly id: unknown;
  readonly docs: readonly ({ readonly ok: StoredDocument } | { readonly error: Json })[];
}

function leavesOf(result: BulkGetResult): Leaf[] {
  return result.docs.map((each) => ('ok' in each ? each : { missing: String(each.error['rev']) }));
}

function shownBulkGet({ id, docs }: BulkGetResult): object {
  return { id, docs: docs.map((each) => ('ok' in each ? { ok: shown(each.ok) } : each)) };
}

async function bulkGetOne(wanted: unknown, options: Json, storage: Storage): Promise<BulkGetResult> {
  const problem = (id: unknown, rev: unknown, error: string, reason: string) => ({
    id,
    docs: [{ error: { id, rev, error, reason } }],
  });
  if (!isObject(wanted) || Object.keys(wanted).length === 0)
    return problem(null, null, 'bad_request', 'document must be a JSON object');
  const { id, rev } = wanted;
  if (id === undefined) return problem(null, null, 'bad_request', 'document id missed');
  if (typeof id !== 'string') return problem(id, null, 'illegal_docid', 'Document id must be a string');
  if (rev !== undefined && !isRevision(rev)) return problem(id, rev, 'bad_request', 'Invalid rev format');
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

async function revsDiff(exchange: DatabaseExchange): Promise<void> {
  const { storage } = exchange.database;
  const missing = await storage.revsDiff(await readRevisions(exchange));
  const answer: Record<string, object> = {};
  for (const [id, revs] of Object.entries(missing)) {
    const ancestors = await possibleAncestors(storage, id, revs.missing);
    answer[id] = {
      missing: revs.missing,
      ...(ancestors.length === 0 ? {} : { possible_ancestors: ancestors }),
    };
  }
  sendJson(exchange.res, 200, answer);
}

/** Leaves from which a missing revision may descend: those of a lower generation. */
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
  const wanted = await readRevisions(exchange);
  const missing = await exchange.database.storage.revsDiff(wanted);
  sendJson(exchange.res, 200, {
    missing_revs: Object.fromEntries(Object.entries(missing).map(([id, revs]) => [id, revs.missing])),
  });
}
