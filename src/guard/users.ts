// Looks at writes to `_users` before CouchDB does: a user may not have a name that means somebody else here (H13), and what changes a user
// ends what was known of it. Only the owner gets as far as this.
import { type Request, type Response } from 'express';
import { type Context, known } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { BadContentType, BadRequest, Forbidden } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';
import { type Guard } from './index.ts';
import { mediaTypeOf } from '../body/decode.ts';
import { isJsonObject as isObject, type JsonObject as UserDocument, parseJson } from '../body/parse.ts';
import { type BodyReader } from '../body/read.ts';

export interface UsersDeps {
  readonly bodies: BodyReader;
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'isKeyName'>;
  readonly bus: Pick<InvalidationBus, 'publish'>;
  /** Largest body that is read, before and after gunzip. */
  readonly limitBytes: number;
}

const PREFIX = 'org.couchdb.user:';
const WRITES = new Set(['PUT', 'POST', 'COPY', 'DELETE']);

/** Source of the ids: docs.couchdb.org/en/stable/intro/security.html#users-documents */
export function guardUsers(deps: UsersDeps): Guard {
  return (req, res, context) => (WRITES.has(req.method) ? guardWrite(deps, req, res, context) : undefined);
}

/** Throws 403 for a user that would get a name of somebody else's, 400 and 415 for a body that cannot be read. */
async function guardWrite(
  deps: UsersDeps,
  req: Request,
  res: Response,
  context: Context,
): Promise<undefined> {
  const { segments } = known(context.target, 'target');
  const named = [
    ...segments.slice(1),
    ...(context.destination === undefined ? [] : [context.destination.id]),
  ];
  const inBody = isBodyRead(req.method, segments) ? await documentsIn(deps, req, res, segments) : [];
  const written = req.method === 'DELETE' ? [] : [...named, ...inBody.filter(isAlive).flatMap(idsOf)];
  const names = namesIn(written);
  if (names.length > 0)
    await refuseTaken(deps, names, known(context.identified, 'identified').principal.name);
  const changed = namesIn([...named, ...inBody.flatMap(idsOf)]);
  // Published before the client has the whole answer. Where this process cannot tell, the change feed of `_users` does.
  res.once('finish', () => {
    for (const name of changed) deps.bus.publish({ kind: 'user', name }).catch(() => undefined);
  });
}

/** The user names of ids of user documents. */
function namesIn(ids: readonly string[]): readonly string[] {
  return ids.filter((id) => id.startsWith(PREFIX)).map((id) => id.slice(PREFIX.length));
}

/** `POST /_users` and `POST /_users/_bulk_docs` name in the body whom they write. */
function isBodyRead(method: string, segments: readonly string[]): boolean {
  return (
    method === 'POST' && (segments.length === 1 || (segments.length === 2 && segments[1] === '_bulk_docs'))
  );
}

/** The documents of the body. The bytes that were read are forwarded. */
async function documentsIn(
  { bodies, limitBytes }: UsersDeps,
  req: Request,
  res: Response,
  segments: readonly string[],
): Promise<readonly UserDocument[]> {
  if (mediaTypeOf(req) !== 'application/json') throw new BadContentType();
  const body = parseJson((await bodies.read(req, res, { limitBytes })).decoded);
  const isBulk = segments.length === 2;
  const documents = isBulk && isObject(body) ? body['docs'] : [body];
  if (!Array.isArray(documents) || !documents.every(isObject)) {
    throw new BadRequest(isBulk ? '`docs` must be an array of objects' : 'Document must be a JSON object');
  }
  return documents;
}

/** The id decides in CouchDB; its own rule that the name is the same can be edited away. */
function idsOf({ _id, name }: UserDocument): readonly string[] {
  return [
    ...(typeof _id === 'string' ? [_id] : []),
    ...(typeof name === 'string' ? [`${PREFIX}${name}`] : []),
  ];
}

function isAlive(document: UserDocument): boolean {
  return document['_deleted'] !== true;
}

async function refuseTaken(deps: UsersDeps, names: readonly string[], owner: string): Promise<void> {
  const owners = await ownersOf(deps.couch, owner);
  for (const name of names) {
    const reason = await whoseName(deps.keys, name, owners);
    if (reason !== undefined) {
      throw new Forbidden(`A user cannot be called ${JSON.stringify(name)}: ${reason}`);
    }
  }
}

async function whoseName(
  keys: UsersDeps['keys'],
  name: string,
  owners: ReadonlySet<string>,
): Promise<string | undefined> {
  if (name === '') return 'a name is not empty';
  if (name === 'nobody') return 'this is the name of the unauthenticated';
  if (owners.has(name)) return 'this is a server admin of CouchDB';
  return (await keys.isKeyName(name)) ? 'this is or was an API key' : undefined;
}

/** CouchDB's server admins, and whoever asks, for a node that does not tell them. */
async function ownersOf(couch: Pick<Couch, 'ask'>, owner: string): Promise<ReadonlySet<string>> {
  const { status, body } = await couch.ask({ method: 'GET', path: '/_node/_local/_config/admins' });
  return new Set([owner, ...(status === 200 && isObject(body) ? Object.keys(body) : [])]);
}
