// Answers `PUT /_users/org.couchdb.user:{name}` of callers without credentials: makes a user without roles
// (setting `users_sign_up`). A name that is taken is refused in the same words and time, whatever has it.
import { setTimeout as delay } from 'node:timers/promises';
import { type Request, type Response } from 'express';
import { type BodyReader } from '../body/read.ts';
import { type Context, known } from '../context.ts';
import { USER_ID_PREFIX, userId } from '../couch/user-id.ts';
import { BadRequest, Conflict, TooBusy } from '../http-errors.ts';
import { type UserDocument } from '../identity/couch-accounts.ts';
import { createUser } from '../identity/user-writes.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';
import { type KeyedMutex } from '../limits/keyed-mutex.ts';
import { type AttemptLimit } from '../limits/attempt-limit.ts';
import { type PasswordHashLimiter } from '../limits/password-hash-limiter.ts';
import { sendJson } from '../respond.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { type Answers } from './index.ts';
import { parseOwnUser } from './own-user-fields.ts';
import { CONFLICT, refuseParameters, userKey } from './own-user.ts';
import { isHeld, isTaken, type TakenNamesDeps } from './taken-names.ts';

export interface SignUpDeps extends TakenNamesDeps {
  readonly bodies: BodyReader;
  readonly bus: Pick<InvalidationBus, 'publish'>;
  readonly isStillPermitted: IsStillPermitted;
  /** Setting `users_own_fields`. */
  readonly ownFields: readonly string[];
  /** Counts every attempt of an address. */
  readonly limit: AttemptLimit;
  readonly writes: KeyedMutex;
  readonly passwordHashes: Pick<PasswordHashLimiter, 'write'>;
  readonly timing: SignUpTiming;
}

export interface SignUpTiming {
  /** Time after which every replica knows a grant that another one has acknowledged. */
  readonly settleMs: number;
  /** Refusals are sent at multiples of this time. */
  readonly refusalQuantumMs: number;
  /** A clock that never goes back, in milliseconds. */
  readonly now: () => number;
  readonly wait: (milliseconds: number) => Promise<unknown>;
}

/** A hash of CouchDB takes up to a third of a second; the rest covers what differs beside it. */
export const SIGN_UP_TIMING: SignUpTiming = Object.freeze({
  settleMs: 2000,
  refusalQuantumMs: 500,
  now: () => performance.now(),
  wait: (milliseconds: number) => delay(milliseconds),
});

/** As for `POST /_session`: anybody may send one. */
const SIGN_UP_LIMIT_BYTES = 16_384;
const MAX_NAME_LENGTH = 128;
/** Control characters, those that no font shows, and line breaks: a name could look like another one. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/u;
/** Sign-ups that wait; each costs CouchDB a hash, so they run one after the other. */
const MAX_WAITING = 50;
/** Time after which one that still waits is refused. */
const MAX_WAIT_MS = 30_000;
const QUEUE = 'sign-up';

export function signUpHandler(deps: SignUpDeps): Pick<Answers, 'users-sign-up'> {
  return {
    async 'users-sign-up'(req, res, context) {
      refuseParameters(context);
      const name = known(known(context.operation, 'operation').documentId, 'documentId').slice(
        USER_ID_PREFIX.length,
      );
      const document = await documentIn(deps, req, res, name);
      const { ip } = known(context.client, 'client');
      const end = await deps.limit.enter(name, ip);
      try {
        await deps.limit.count(name, ip);
        const rev = await signUp(deps, context, name, document);
        sendJson(res, 201, { ok: true, id: userId(name), rev }, { ETag: `"${rev}"` });
      } finally {
        end();
      }
    },
  };
}

/** The document of the new user. Throws what follows from the request alone, so it tells nothing. */
async function documentIn(
  { bodies, ownFields }: SignUpDeps,
  req: Request,
  res: Response,
  name: string,
): Promise<UserDocument> {
  const rules = { limitBytes: SIGN_UP_LIMIT_BYTES, contentType: 'document' } as const;
  const body = await bodies.jsonObject(req, res, rules);
  const { rev, password, fields } = parseOwnUser(body, name, ownFields, undefined);
  if (!isPossible(name))
    throw new BadRequest(
      `A name must have 1 to ${MAX_NAME_LENGTH} visible characters, no colon, and no \`_\` or blank at its start`,
    );
  if (password === undefined) throw new BadRequest('`password` is missing');
  // As CouchDB's conflict: a new document has no revision.
  if (rev !== undefined) throw new Conflict(CONFLICT);
  return { ...fields, _id: userId(name), name, type: 'user', roles: [], password };
}

/** False for names that CouchDB refuses, that Basic cannot carry, and that look like another name. */
function isPossible(name: string): boolean {
  if (name === '' || name === '.' || name === '..' || name.length > MAX_NAME_LENGTH) return false;
  if (name !== name.trim().normalize('NFC') || UNSEEN.test(name)) return false;
  return !name.startsWith('_') && !name.includes(':');
}

/**
 * Makes the user. Resolves with the revision. Throws 409 if the name is taken, at a multiple of the quantum.
 */
async function signUp(
  deps: SignUpDeps,
  context: Context,
  name: string,
  document: UserDocument,
): Promise<string> {
  const { settleMs, refusalQuantumMs, now, wait } = deps.timing;
  const startedAt = now();
  // A grant to this name that another replica has acknowledged before this request is known here after it.
  await wait(settleMs);
  if (deps.writes.queueLength(QUEUE) >= MAX_WAITING) throw new TooBusy();
  const work = (): Promise<string | undefined> => make(deps, context, name, document);
  const rev = await deps.writes.run(QUEUE, () => {
    if (now() - startedAt > MAX_WAIT_MS) throw new TooBusy();
    return deps.writes.run(userKey(name), () => deps.passwordHashes.write(work));
  });
  if (rev !== undefined) {
    context.outcome.change = { action: 'sign up', name };
    // The name may have been looked up while nobody had it.
    await deps.bus.publish({ kind: 'user', name });
    return rev;
  }
  if (refusalQuantumMs > 0) await wait(refusalQuantumMs - ((now() - startedAt) % refusalQuantumMs));
  throw new Conflict(CONFLICT);
}

/** `undefined` = the name is taken. */
async function make(
  deps: SignUpDeps,
  context: Context,
  name: string,
  document: UserDocument,
): Promise<string | undefined> {
  if (await isTaken(deps, name)) return undefined;
  await requireStillPermitted(deps.isStillPermitted, context);
  // Somebody may have given the name a key or a grant before it was taken.
  const mayStay = async (): Promise<boolean> => !(await isHeld(deps, name));
  const written = await createUser(deps.couch, name, document, mayStay);
  return written.outcome === 'written' ? written.rev : undefined;
}
