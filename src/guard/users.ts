// Looks at writes to `_users` before CouchDB does: a user may not have a name that means somebody else here (H13), and what changes a user
// ends what was known of it. Only the owner gets as far as this.
import { type Request, type Response } from 'express';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Context, known } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { BadContentType, BadRequest, Forbidden } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';
import { type Guard } from '../answer/index.ts';
import { mediaTypeOf, parseJson, readBytes } from '../body/read.ts';

export interface UsersDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'isKeyName'>;
  readonly bus: Pick<InvalidationBus, 'publish'>;
  /** Largest body that is read, before and after gunzip. */
  readonly limitBytes: number;
}

const PREFIX = 'org.couchdb.user:';
const WRITES = new Set(['PUT', 'POST', 'COPY', 'DELETE']);
const compress = promisify(gzip);

/** Source of the ids: docs.couchdb.org/en/stable/intro/security.html#users-documents */
export function guardUsers(deps: UsersDeps): Guard {
  return (req, context, res) => (WRITES.has(req.method) ? guardWrite(deps, req, context, res) : undefined);
}

async function guardWrite(
  deps: UsersDeps,
  req: Request,
  context: Context,
  res: Response,
): Promise<Buffer | undefined> {
  const { names, body } = await judge(deps, req, context);
  // CouchDB has answered, and the client hears of it no sooner than this process does.
  res.once('finish', () => {
    // Where it cannot be told from here, the change feed of `_users` tells it a little later.
    for (const name of names) deps.bus.publish({ kind: 'user', name }).catch(() => undefined);
  });
  return body;
}

interface Judged {
  /** Names of the users that the request changes. */
  readonly names: readonly string[];
  /** The body, where it was read. */
  readonly body: Buffer | undefined;
}

/** Throws 403 for a user that would get a name of somebody else's, 400 and 415 for a body that cannot be read. */
async function judge(deps: UsersDeps, req: Request, context: Context): Promise<Judged> {
  const { segments } = known(context.target, 'target');
  const named = [
    ...segments.slice(1),
    ...(context.destination === undefined ? [] : [context.destination.id]),
  ];
  const read = isBodyRead(req.method, segments) ? await documentsIn(deps, req, context) : undefined;
  const inBody = read?.documents ?? [];
  const written = req.method === 'DELETE' ? [] : [...named, ...inBody.filter(isAlive).flatMap(idsOf)];
  const names = written.filter((id) => id.startsWith(PREFIX)).map((id) => id.slice(PREFIX.length));
  if (names.length > 0)
    await refuseTaken(deps, names, known(context.identified, 'identified').principal.name);
  const changed = [...named, ...inBody.flatMap(idsOf)]
    .filter((id) => id.startsWith(PREFIX))
    .map((id) => id.slice(PREFIX.length));
  return { names: changed, body: read?.body };
}

/** `POST /_users` and `POST /_users/_bulk_docs` name in the body whom they write. */
function isBodyRead(method: string, segments: readonly string[]): boolean {
  return (
    method === 'POST' && (segments.length === 1 || (segments.length === 2 && segments[1] === '_bulk_docs'))
  );
}

type UserDocument = Readonly<Record<string, unknown>>;

interface ReadBody {
  readonly documents: readonly UserDocument[];
  /** What was read, in the request's own Content-Encoding: what is forwarded. */
  readonly body: Buffer;
}

async function documentsIn(deps: UsersDeps, req: Request, context: Context): Promise<ReadBody> {
  if (mediaTypeOf(req) !== 'application/json') throw new BadContentType();
  const bytes = await readBytes(req, deps.limitBytes);
  const isGzipped = req.headers['content-encoding']?.trim().toLowerCase() === 'gzip';
  const body = parseJson(bytes);
  const isBulk = known(context.target, 'target').segments.length === 2;
  const documents = isBulk && isObject(body) ? body['docs'] : [body];
  if (!Array.isArray(documents) || !documents.every(isObject)) {
    throw new BadRequest(isBulk ? '`docs` must be an array of objects' : 'Document must be a JSON object');
  }
  return { documents, body: isGzipped ? await compress(bytes) : bytes };
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

function isObject(value: unknown): value is UserDocument {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
