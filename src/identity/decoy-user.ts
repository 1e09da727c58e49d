// Keeps a user of Couchgate's own in `_users`. CouchDB checks its password in place of names that do not
// exist, so that the time of a refusal does not say which names do (H23).
import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { type Couch } from '../couch/couch.ts';
import { type WriteLog } from '../couch/outage.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';
import { writeBasic } from './basic-credentials.ts';
import { userPath } from '../couch/user-id.ts';
import { readUserDocument } from './couch-accounts.ts';

/** Nobody can sign in with this name, whatever password its document has (credential-check.ts). */
export const DECOY_NAME = 'couchgate-decoy';

export interface DecoyUser {
  /**
   * Makes the document if it is missing. Returns the PBKDF2 iterations of its password; undefined if `_users`
   * cannot be written.
   */
  ensure(): Promise<number | undefined>;
  /**
   * Headers of a password check as the decoy, in place of these credentials. The password is always wrong. It
   * and the address depend on the given ones, so that CouchDB's caches and its lockout treat the check as
   * that of a user with the given name.
   */
  headersFor(name: string, basic: string, ip: string): Readonly<Record<string, string>>;
}

export interface DecoyOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly bus: Pick<InvalidationBus, 'onMessage'>;
  /** Shared by all replicas, so that CouchDB's lockout counts across them. */
  readonly secret: Buffer;
  readonly report: WriteLog;
  readonly now?: () => number;
}

/** Pause between two attempts to write the document. */
const RETRY_MS = 60_000;

export function createDecoyUser(options: DecoyOptions): DecoyUser {
  const { couch, bus } = options;
  const now = options.now ?? Date.now;
  const key = createSecretKey(options.secret);
  let ready: Promise<number | undefined> | undefined;
  let retryAt = Infinity;
  let isReported = false;

  async function make(): Promise<number | undefined> {
    try {
      const iterations = (await readIterations(couch)) ?? (await write(couch));
      if (iterations !== undefined) return iterations;
    } catch {
      // Unavailable, or an answer that is no user document: names are checked without the decoy.
    }
    retryAt = now() + RETRY_MS;
    if (!isReported)
      options.report('the decoy user cannot be written: the time of a refusal shows which users exist', {});
    isReported = true;
    return undefined;
  }

  bus.onMessage((item) => {
    if (item.kind === 'user' && item.name === DECOY_NAME) ready = undefined;
  });
  const digest = (use: string, ...parts: readonly string[]): Buffer =>
    createHmac('sha256', key)
      .update(`couchgate decoy ${use} 1.${JSON.stringify(parts)}`)
      .digest();
  return {
    ensure() {
      if (now() >= retryAt) ready = undefined;
      if (ready === undefined) {
        retryAt = Infinity;
        ready = make();
      }
      return ready;
    },
    headersFor(name, basic, ip) {
      const password = digest('password', basic).toString('base64url');
      return {
        Authorization: `Basic ${writeBasic(DECOY_NAME, password) ?? ''}`,
        'X-Forwarded-For': uniqueLocalAddress(digest('address', name, ip)),
      };
    },
  };
}

/** Undefined if there is no document, or none with a password that costs CouchDB time. */
async function readIterations(couch: Pick<Couch, 'ask'>): Promise<number | undefined> {
  const { password_scheme: scheme, iterations } = (await readUserDocument(couch, DECOY_NAME)) ?? {};
  return scheme === 'pbkdf2' && typeof iterations === 'number' ? iterations : undefined;
}

/**
 * Writes the document with a random password that nobody keeps. CouchDB hashes it as it does those of users.
 */
async function write(couch: Pick<Couch, 'ask'>): Promise<number | undefined> {
  const old = await readUserDocument(couch, DECOY_NAME);
  const body = {
    ...(old?.['_rev'] === undefined ? {} : { _rev: old['_rev'] }),
    name: DECOY_NAME,
    password: randomBytes(32).toString('base64url'),
    roles: [],
    type: 'user',
    note: 'Made by Couchgate. Nobody can sign in as this user.',
  };
  // 409 = another replica has just written it.
  await couch.ask({ method: 'PUT', path: userPath(DECOY_NAME), body });
  return readIterations(couch);
}

/** An IPv6 address of the range that is routed nowhere (RFC 4193). */
function uniqueLocalAddress(bytes: Buffer): string {
  const groups = Array.from({ length: 7 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16));
  return `fd00:${groups.join(':')}`;
}
