// Guard of POST /_replicate and of writes to /_replicator: validates the job and returns its canonical body
// (H9).
import { type IncomingMessage } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Request, type Response } from 'express';
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { known } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { BadContentType, BadRequest, Forbidden, Unauthorized } from '../http-errors.ts';
import { type Guard } from './index.ts';
import { writeJson } from '../json/exact-numbers.ts';
import { buildJson } from '../body/json-build.ts';
import { announcesBody, isReadAsJson } from '../body/decode.ts';
import { parametersOf } from '../body/query-parameters.ts';
import { type BodyReader } from '../body/read.ts';
import { type BasicCredentials } from './replication-endpoint.ts';
import { createReplicationHosts, type Resolve } from './replication-hosts.ts';
import {
  documentsOf,
  guardDocument,
  guardReplicateBody,
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
  /** Largest body in bytes, before and after gunzip. */
  readonly limitBytes: number;
  readonly resolve?: Resolve;
}

/** Members of one object of a job. Each is copied several times, in one turn of the event loop (H20). */
const MAX_FIELDS = 1000;
/** Jobs that are checked in one turn of the event loop. */
const JOBS_PER_TURN = 100;

/**
 * Creates the guard of the endpoints `replicate` and `replicator-write`. It throws an HttpError to refuse a
 * request. The same rules apply to the owner, except those that separate users.
 */
export function guardReplication(parameters: ReplicationParameters): Guard {
  const { couch, publicUrl } = parameters;
  const hostsFor = createReplicationHosts(parameters);
  return async function guard(req, res, context) {
    const { principal, method } = known(context.identified, 'identified');
    // CouchDB's reason: a job needs an owner.
    if (principal.kind === 'nobody') throw new Unauthorized('You are not an authenticated user');
    const credentials = method === 'basic' ? basicCredentials(req) : undefined;
    const hosts = hostsFor({ caller: principal.name, hasLeft: () => res.destroyed });
    const rules: JobRules = { hosts, publicUrl, credentials, principal };
    const { segments, query } = known(context.target, 'target');
    refuseForeignRevisions(query, rules);
    const [database, document] = segments;
    if (document?.startsWith('_') === true && document !== '_bulk_docs') {
      throw new Forbidden('server_admin access is required for this request');
    }
    if (database === '_replicate')
      return write(await guardReplicateBody(await readJob(parameters, req, res), rules));
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
    if (index % JOBS_PER_TURN === JOBS_PER_TURN - 1) {
      await nextTurn();
      rules.hosts.requireClient();
    }
    docs.push(await guardDocument(document, ids[index], rules));
  }
  return { ...body, docs };
}

/**
 * With `?new_edits=false`, CouchDB stores revisions unchecked, also over the job of another user. If the
 * parameter is repeated, any value other than `true` counts (H7).
 */
function refuseForeignRevisions(query: string, rules: JobRules): void {
  if (rules.principal.kind === 'owner') return;
  const newEdits = parametersOf(query).getAll('new_edits');
  if (newEdits.some((value) => value !== 'true')) {
    throw new Forbidden('server_admin access is required for this request');
  }
}

/** Multipart is refused: its parts would be a second reading of the job. CouchDB gets the job as JSON. */
async function readJob(
  { bodies, limitBytes }: ReplicationParameters,
  req: Request,
  res: Response,
): Promise<JsonObject> {
  if (!isReadAsJson(req)) throw new BadContentType();
  if (!announcesBody(req)) throw new BadRequest('Missing request body');
  const value = await buildJson(await bodies.read(req, res, { limitBytes, budget: 'parsed' }), {
    exact: true,
    members: MAX_FIELDS,
  });
  if (!isJsonObject(value)) throw new BadRequest('Request body must be a JSON object');
  return value;
}

function write(body: JsonObject): Buffer {
  return Buffer.from(writeJson(body));
}

/** Returns the caller's credentials, which authenticate has accepted. */
function basicCredentials(req: IncomingMessage): BasicCredentials | undefined {
  const [, encoded] = /^Basic +(\S+) *$/iu.exec(req.headers.authorization ?? '') ?? [];
  const text = Buffer.from(encoded ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
