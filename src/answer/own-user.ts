// Answers `GET` and `PUT` of one's own document in `_users` (setting `users_own_document`).
import { type Request, type Response } from 'express';
import { type JsonObject } from '../json/object.ts';
import { type BodyReader } from '../body/read.ts';
import { type Context, known } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { userId } from '../couch/user-id.ts';
import { Conflict, Forbidden, NotFound, TooBusy } from '../http-errors.ts';
import { readUserDocument } from '../identity/couch-accounts.ts';
import { updateUser, userLeaves } from '../identity/user-writes.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';
import { type KeyedMutex } from '../limits/keyed-mutex.ts';
import { type PasswordHashLimiter } from '../limits/password-hash-limiter.ts';
import { sendJson } from '../respond.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { type Answers } from './index.ts';
import {
  changedUser,
  OWN_USER_LIMIT_BYTES,
  type OwnUserChange,
  parseOwnUser,
  shownUser,
} from './own-user-fields.ts';

export interface OwnUserDeps {
  readonly bodies: BodyReader;
  readonly couch: Pick<Couch, 'ask'>;
  readonly bus: Pick<InvalidationBus, 'publish'>;
  readonly isStillPermitted: IsStillPermitted;
  /** Setting `users_own_fields`. */
  readonly ownFields: readonly string[];
  /** Runs one change of a user at a time. */
  readonly writes: KeyedMutex;
  readonly passwordHashes: Pick<PasswordHashLimiter, 'write'>;
}

/** Changes of one user that run or wait. */
const MAX_WAITING = 8;

/** Creates the handlers. The document is that of the caller: authorize compares its id with the name. */
export function ownUserHandlers(deps: OwnUserDeps): Pick<Answers, 'users-own-read' | 'users-own-write'> {
  return {
    async 'users-own-read'(_req, res, context) {
      refuseParameters(context);
      const document = await readUserDocument(deps.couch, nameOf(context));
      if (document === undefined) throw new NotFound('missing');
      const headers = { ETag: `"${String(document['_rev'])}"`, 'Cache-Control': 'no-store' };
      sendJson(res, 200, shownUser(document, deps.ownFields), headers);
    },
    'users-own-write': (req, res, context) => write(deps, req, res, context),
  };
}

/** CouchDB's own words for a document that exists; pouchdb-authentication knows them. */
export const CONFLICT = 'Document update conflict.';

async function write(deps: OwnUserDeps, req: Request, res: Response, context: Context): Promise<void> {
  refuseParameters(context);
  const name = nameOf(context);
  const rules = { limitBytes: OWN_USER_LIMIT_BYTES, contentType: 'document' } as const;
  const body = await deps.bodies.jsonObject(req, res, rules);
  const key = userKey(name);
  if (deps.writes.queueLength(key) >= MAX_WAITING) throw new TooBusy();
  const work = (): Promise<Written> => writeChange(deps, context, name, body);
  const written = await deps.writes.run(key, () =>
    body['password'] === undefined ? work() : deps.passwordHashes.write(work),
  );
  context.outcome.change = eventOf(name, written.change);
  // Ends the sessions of the old password on this replica before the answer. Others follow `_users`.
  await deps.bus.publish({ kind: 'user', name });
  sendJson(res, 201, { ok: true, id: userId(name), rev: written.rev }, { ETag: `"${written.rev}"` });
}

interface Written {
  readonly rev: string;
  readonly change: OwnUserChange;
}

/** Decides again and writes. Every wait for other requests has ended. */
async function writeChange(
  deps: OwnUserDeps,
  context: Context,
  name: string,
  body: JsonObject,
): Promise<Written> {
  const [present, second] = await userLeaves(deps.couch, name);
  // The body and other requests may have taken long: the session may have ended (H19).
  await requireStillPermitted(deps.isStillPermitted, context);
  if (present === undefined) throw new NotFound('deleted');
  const change = parseOwnUser(body, name, deps.ownFields, present);
  if (second !== undefined || change.rev !== present._rev) throw new Conflict(CONFLICT);
  const outcome = await updateUser(deps.couch, name, changedUser(present, change, deps.ownFields));
  if (outcome.outcome === 'conflict') throw new Conflict(CONFLICT);
  return { rev: outcome.rev, change };
}

/** Key of `writes`: a new user does not write its document before its sign-up has ended. */
export function userKey(name: string): string {
  return `user ${name}`;
}

/** For the audit log: which fields were written, without their values. */
function eventOf(name: string, { password, fields }: OwnUserChange): Readonly<Record<string, unknown>> {
  return { action: 'own user', name, fields: Object.keys(fields), password: password !== undefined };
}

/** Old revisions and conflicts have hashes, so nothing but the document as it is can be asked for. */
export function refuseParameters(context: Context): void {
  if (known(context.target, 'target').query.length > 1)
    throw new Forbidden('This document has no query parameters for its user.');
}

function nameOf(context: Context): string {
  return known(context.identified, 'identified').principal.name;
}
