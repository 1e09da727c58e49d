// Reads the bodies of POST /_replicate and of writes to /_replicator, and says what CouchDB gets in their place (H9).
// What a job may hold is replication-jobs.ts's business, who may call these endpoints at all authorize's.
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
  /** Largest body, before and after gunzip. */
  readonly limitBytes: number;
  readonly resolve?: Resolve;
}

/** The bytes that CouchDB gets, in the request's own Content-Encoding; undefined = the request has no body. */
export type GuardReplication = (req: IncomingMessage, context: Context) => Promise<Buffer | undefined>;

/**
 * A guard for the rows `replicate` and `replicator-write`: throws an HttpError for what may not be, and returns the body in the one spelling
 * that was judged. The owner is held to the same rules but for those that keep users apart.
 */
export function guardReplication(parameters: ReplicationParameters): GuardReplication {
  const { couch, publicUrl, limitBytes } = parameters;
  const hosts = createReplicationHosts(parameters);
  return async function guard(req, context) {
    const { principal, method } = known(context.identified, 'identified');
    // CouchDB's own words: a job needs somebody whose it is.
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
 * `?new_edits=false` writes revisions as they are, also over another's job. A parameter given twice is taken at its worst (H7); to CouchDB
 * a semicolon ends a parameter as well (mochiweb_util.erl parse_qs).
 */
function refuseForeignRevisions(query: string, rules: JobRules): void {
  if (rules.principal.kind === 'owner') return;
  if (new URLSearchParams(query.replaceAll(';', '&')).getAll('new_edits').some((value) => value !== 'true')) {
    throw new Forbidden('server_admin access is required for this request');
  }
}

/** Multipart is refused with every other type: its parts would be a second reading of the job. */
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

/** Encoded as the request was: its Content-Encoding goes on to CouchDB, and must stay true. */
function write(req: IncomingMessage, body: JsonObject): Buffer | Promise<Buffer> {
  const bytes = Buffer.from(written(body));
  return isGzipped(req) ? compress(bytes) : bytes;
}

/** JSON.stringify calls itself for every level, and a client may put more of them than the stack holds. */
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

/** The caller's own credentials, which authenticate has accepted. */
function basicCredentials(req: IncomingMessage): BasicCredentials | undefined {
  const [, encoded] = /^Basic +(\S+) *$/iu.exec(req.headers.authorization ?? '') ?? [];
  const text = Buffer.from(encoded ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
