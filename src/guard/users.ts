// Guard of writes to `_users`: refuses names that belong to another principal (H13), and publishes changed
// users. Only the owner may call these endpoints.
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
  /** Largest body in bytes, before and after gunzip. */
  readonly limitBytes: number;
}

const PREFIX = 'org.couchdb.user:';
const WRITES = new Set(['PUT', 'POST', 'COPY', 'DELETE']);
const compress = promisify(gzip);

/**
 * Creates the guard.
 * Source of the ids: docs.couchdb.org/en/stable/intro/security.html#users-documents
 */
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
  // `finish` follows CouchDB's answer, so caches that read again see the change.
  res.once('finish', () => {
    // If publishing fails, the change feed of `_users` invalidates the user shortly after.
    for (const name of names) deps.bus.publish({ kind: 'user', name }).catch(() => undefined);
  });
  return body;
}

interface Judged {
  /** Names of the users that the request changes. */
  readonly names: readonly string[];
  /** The body, if it was read. */
  readonly body: Buffer | undefined;
}

/** Throws 403 if a user would get the name of another principal. Throws 400 and 415 for an invalid body. */
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

/** True for `POST /_users` and `POST /_users/_bulk_docs`, whose bodies name the users. */
function isBodyRead(method: string, segments: readonly string[]): boolean {
  return (
    method === 'POST' && (segments.length === 1 || (segments.length === 2 && segments[1] === '_bulk_docs'))
  );
}

type UserDocument = Readonly<Record<string, unknown>>;

interface ReadBody {
  readonly documents: readonly UserDocument[];
  /** The body for CouchDB, in the Content-Encoding of the request. */
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

/**
 * CouchDB identifies a user by the id. Its rule that the name must match can be removed by editing the design
 * document.
 */
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
      throw new Forbidden(`A user cannot have the name ${JSON.stringify(name)}: ${reason}`);
    }
  }
}

async function whoseName(
  keys: UsersDeps['keys'],
  name: string,
  owners: ReadonlySet<string>,
): Promise<string | undefined> {
  if (name === '') return 'the name is empty';
  if (name === 'nobody') return 'the name is reserved for requests without credentials';
  if (owners.has(name)) return 'a server admin of CouchDB has it';
  return (await keys.isKeyName(name)) ? 'an API key has or had it' : undefined;
}

/** Returns the server admins of CouchDB and the caller, since some nodes do not list server admins. */
async function ownersOf(couch: Pick<Couch, 'ask'>, owner: string): Promise<ReadonlySet<string>> {
  const { status, body } = await couch.ask({ method: 'GET', path: '/_node/_local/_config/admins' });
  return new Set([owner, ...(status === 200 && isObject(body) ? Object.keys(body) : [])]);
}

function isObject(value: unknown): value is UserDocument {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
