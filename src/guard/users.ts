// Guard of writes to `_users`: refuses names that belong to another principal (H13), and publishes changed
// users. Only the owner may call these endpoints.
import { type Request, type Response } from 'express';
import { isJsonObject, type JsonObject as UserDocument } from '../json/object.ts';
import { type Context, known } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { USER_ID_PREFIX, userId } from '../couch/user-id.ts';
import { BadContentType, BadRequest, Forbidden } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { readAdminNames } from '../identity/couch-accounts.ts';
import { DECOY_NAME } from '../identity/decoy-user.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';
import { type Guard } from './index.ts';
import { mediaTypeOf } from '../body/decode.ts';
import { buildJson } from '../body/json-build.ts';
import { type BodyReader } from '../body/read.ts';

export interface UsersDeps {
  readonly bodies: BodyReader;
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'isKeyName'>;
  readonly bus: Pick<InvalidationBus, 'publish'>;
  /** Largest body in bytes, before and after gunzip. */
  readonly limitBytes: number;
}

const WRITES = new Set(['PUT', 'POST', 'COPY', 'DELETE']);

/**
 * Creates the guard.
 * Source of the ids: docs.couchdb.org/en/stable/intro/security.html#users-documents
 */
export function guardUsers(deps: UsersDeps): Guard {
  return (req, res, context) => (WRITES.has(req.method) ? guardWrite(deps, req, res, context) : undefined);
}

/** Throws 403 if a user would get the name of another principal. Throws 400 and 415 for an invalid body. */
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
  // `finish` follows CouchDB's answer, so caches that read again see the change. If it does not come, the
  // change feed of `_users` invalidates the user shortly after.
  res.once('finish', () => {
    for (const name of changed) deps.bus.publish({ kind: 'user', name }).catch(() => undefined);
  });
}

/** The user names of ids of user documents. */
function namesIn(ids: readonly string[]): readonly string[] {
  return ids.filter((id) => id.startsWith(USER_ID_PREFIX)).map((id) => id.slice(USER_ID_PREFIX.length));
}

/** True for `POST /_users` and `POST /_users/_bulk_docs`, whose bodies name the users. */
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
  const body = await buildJson(await bodies.read(req, res, { limitBytes, budget: 'parsed' }));
  const isBulk = segments.length === 2;
  const documents = isBulk && isJsonObject(body) ? body['docs'] : [body];
  if (!Array.isArray(documents) || !documents.every(isJsonObject)) {
    throw new BadRequest(isBulk ? '`docs` must be an array of objects' : 'Document must be a JSON object');
  }
  return documents;
}

/**
 * CouchDB identifies a user by the id. Its rule that the name must match can be removed by editing the design
 * document.
 */
function idsOf({ _id, name }: UserDocument): readonly string[] {
  return [...(typeof _id === 'string' ? [_id] : []), ...(typeof name === 'string' ? [userId(name)] : [])];
}

function isAlive(document: UserDocument): boolean {
  return document['_deleted'] !== true;
}

async function refuseTaken(deps: UsersDeps, names: readonly string[], owner: string): Promise<void> {
  // The caller too: some nodes do not list server admins.
  const owners = new Set([owner, ...(await readAdminNames(deps.couch))]);
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
  if (name === DECOY_NAME) return 'Couchgate itself uses it';
  if (owners.has(name)) return 'a server admin of CouchDB has it';
  return (await keys.isKeyName(name)) ? 'an API key has or had it' : undefined;
}
