// Reads the bodies of POST /_replicate and of writes to /_replicator, and says what CouchDB gets in their place (H9).
// What a job may hold is replication-jobs.ts's business, who may call these endpoints at all authorize's.
import { type IncomingMessage } from 'node:http';
import { type Request, type Response } from 'express';
import { known } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { BadContentType, BadRequest, Forbidden, Unauthorized } from '../http-errors.ts';
import { type Guard } from './index.ts';
import { parseExactJson } from '../body/exact-json.ts';
import { announcesBody, mediaTypeOf } from '../body/decode.ts';
import { isJsonObject, type JsonObject } from '../body/parse.ts';
import { type BodyReader } from '../body/read.ts';
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

export interface ReplicationParameters {
  readonly bodies: BodyReader;
  readonly couch: Pick<Couch, 'ask'>;
  readonly publicUrl: string;
  readonly couchdbNodes: readonly string[];
  readonly replicationHosts: string;
  /** Largest body, before and after gunzip. */
  readonly limitBytes: number;
  readonly resolve?: Resolve;
}

/**
 * A guard for the rows `replicate` and `replicator-write`: throws an HttpError for what may not be, and returns the body in the one spelling
 * that was judged. The owner is held to the same rules but for those that keep users apart.
 */
export function guardReplication(parameters: ReplicationParameters): Guard {
  const { couch, publicUrl } = parameters;
  const hosts = createReplicationHosts(parameters);
  return async function guard(req, res, context) {
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
      return write(await guardRequest(await readJob(parameters, req, res), rules));
    if (req.method === 'DELETE') {
      await refuseOthersJobs(couch, document === undefined ? [] : [document], principal);
      return undefined;
    }
    const body = await readJob(parameters, req, res);
    if (document === '_bulk_docs') return write(await guardBulk(body, rules, couch));
    const id = document ?? idOf(body);
    await refuseOthersJobs(couch, id === undefined ? [] : [id], principal);
    return write(await guardDocument(body, id, rules));
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

/** Multipart is refused like every other type: its parts would be a second reading of the job. */
async function readJob(
  { bodies, limitBytes }: ReplicationParameters,
  req: Request,
  res: Response,
): Promise<JsonObject> {
  if (mediaTypeOf(req) !== 'application/json') throw new BadContentType();
  if (!announcesBody(req)) throw new BadRequest('Missing request body');
  const value = parseExactJson((await bodies.read(req, res, { limitBytes })).decoded);
  if (!isJsonObject(value)) throw new BadRequest('Request body must be a JSON object');
  return value;
}

/** JSON.stringify calls itself for every level, and a client may put more of them than the stack holds. */
function write(body: JsonObject): Buffer {
  try {
    return Buffer.from(JSON.stringify(body));
  } catch (error) {
    if (error instanceof RangeError) throw new BadRequest('The request body is nested too deeply.');
    throw error;
  }
}

/** The caller's own credentials, which authenticate has accepted. */
function basicCredentials(req: IncomingMessage): BasicCredentials | undefined {
  const [, encoded] = /^Basic +(\S+) *$/iu.exec(req.headers.authorization ?? '') ?? [];
  const text = Buffer.from(encoded ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
