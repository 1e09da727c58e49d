// Guard of POST /_replicate and of writes to /_replicator: validates the job and returns its canonical body
// (H9).
import { type IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { type Context, known } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { BadContentType, BadRequest, Forbidden, Unauthorized } from '../http-errors.ts';
import { parseExactJson } from '../body/exact-json.ts';
import { announcesBody, mediaTypeOf, readBytes, type JsonObject } from '../body/read.ts';
import { type BasicCredentials } from './replication-endpoint.ts';
import { createReplicationHosts, type Resolve } from './replication-hosts.ts';
import {
  documentsOf,
  guardDocument,
  guardRequest,
  idOf,
  refuseOthersJobs,
  type JobRules,
} from './replication-jobs.ts';

const compress = promisify(gzip);
const inflate = promisify(gunzip);

export interface ReplicationParameters {
  readonly couch: Pick<Couch, 'ask'>;
  readonly publicUrl: string;
  readonly couchdbNodes: readonly string[];
  readonly replicationHosts: string;
  /** Largest body in bytes, before and after gunzip. */
  readonly limitBytes: number;
  readonly resolve?: Resolve;
}

/** Returns the body for CouchDB in the request's Content-Encoding; undefined = the request has no body. */
export type GuardReplication = (req: IncomingMessage, context: Context) => Promise<Buffer | undefined>;

/**
 * Creates the guard of the endpoints `replicate` and `replicator-write`. It throws an HttpError to refuse a
 * request. The same rules apply to the owner, except those that separate users.
 */
export function guardReplication(parameters: ReplicationParameters): GuardReplication {
  const { couch, publicUrl, limitBytes } = parameters;
  const hosts = createReplicationHosts(parameters);
  return async function guard(req, context) {
    const { principal, method } = known(context.identified, 'identified');
    // CouchDB's reason: a job needs an owner.
    if (principal.kind === 'nobody') throw new Unauthorized('You are not an authenticated user');
    const credentials = method === 'basic' ? basicCredentials(req) : undefined;
    const rules: JobRules = { hosts, publicUrl, credentials, principal };
    const { segments, query } = known(context.target, 'target');
    refuseForeignRevisions(query, rules);
    const [database, document] = segments;
    if (document?.startsWith('_') === true && document !== '_bulk_docs') {
      throw new Forbidden('server_admin access is required for this request');
    }
    if (database === '_replicate')
      return write(req, await guardRequest(await read(req, context, limitBytes), rules));
    if (req.method === 'DELETE') {
      await refuseOthersJobs(couch, document === undefined ? [] : [document], principal);
      return undefined;
    }
    const body = await read(req, context, limitBytes);
    if (document === '_bulk_docs') return write(req, await guardBulk(body, rules, couch));
    const id = document ?? idOf(body);
    await refuseOthersJobs(couch, id === undefined ? [] : [id], principal);
    return write(req, await guardDocument(body, id, rules));
  };
}

async function guardBulk(body: JsonObject, rules: JobRules, couch: Pick<Couch, 'ask'>): Promise<JsonObject> {
  const documents = documentsOf(body, rules.principal);
  const ids = documents.map(idOf);
  await refuseOthersJobs(
    couch,
    ids.filter((id) => id !== undefined),
    rules.principal,
  );
  const docs: JsonObject[] = [];
  for (const [index, document] of documents.entries()) {
    docs.push(await guardDocument(document, ids[index], rules));
  }
  return { ...body, docs };
}

/**
 * With `?new_edits=false`, CouchDB stores revisions unchecked, also over the job of another user. If the
 * parameter is repeated, any value other than `true` counts (H7). CouchDB also ends a parameter at a
 * semicolon (mochiweb_util.erl parse_qs).
 */
function refuseForeignRevisions(query: string, rules: JobRules): void {
  if (rules.principal.kind === 'owner') return;
  if (new URLSearchParams(query.replaceAll(';', '&')).getAll('new_edits').some((value) => value !== 'true')) {
    throw new Forbidden('server_admin access is required for this request');
  }
}

/** Reads the job. Only JSON is allowed: the parts of a multipart body could describe another job. */
async function read(req: IncomingMessage, context: Context, limitBytes: number): Promise<JsonObject> {
  if (mediaTypeOf(req) !== 'application/json') throw new BadContentType();
  const { decision } = context;
  const taken = decision?.allow === true ? decision.body : undefined;
  if (taken === undefined && !announcesBody(req)) throw new BadRequest('Missing request body');
  const bytes =
    taken === undefined
      ? await readBytes(req, limitBytes)
      : isGzipped(req)
        ? await inflate(taken, { maxOutputLength: limitBytes })
        : taken;
  const value = parseExactJson(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadRequest('Request body must be a JSON object');
  }
  return value as JsonObject;
}

/** Keeps the encoding of the request, because its Content-Encoding header is forwarded. */
function write(req: IncomingMessage, body: JsonObject): Buffer | Promise<Buffer> {
  const bytes = Buffer.from(written(body));
  return isGzipped(req) ? compress(bytes) : bytes;
}

/** JSON.stringify recurses per level, so a deeply nested body can exceed the stack. */
function written(body: JsonObject): string {
  try {
    return JSON.stringify(body);
  } catch (error) {
    if (error instanceof RangeError) throw new BadRequest('The request body is nested too deeply.');
    throw error;
  }
}

function isGzipped(req: IncomingMessage): boolean {
  return (req.headers['content-encoding'] ?? 'identity').trim().toLowerCase() === 'gzip';
}

/** Returns the caller's credentials, which authenticate has accepted. */
function basicCredentials(req: IncomingMessage): BasicCredentials | undefined {
  const [, encoded] = /^Basic +(\S+) *$/iu.exec(req.headers.authorization ?? '') ?? [];
  const text = Buffer.from(encoded ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
