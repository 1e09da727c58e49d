// Identifies the current password of a user or a server admin by a fingerprint of the hash that CouchDB
// stores. Sessions are bound to it, so a changed password ends them.
import { createHmac } from 'node:crypto';
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { ReadThrough } from '../invalidation/read-through-cache.ts';
import { ownerOf, readAdmin, readUserDocument, userIn } from './couch-accounts.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { KnownPasswords } from './known-passwords.ts';
import { type PasswordHashLimiter } from '../limits/password-hash-limiter.ts';
import { type Principal } from '../principal/principal.ts';
import { adminHash, isPasswordOf, type PasswordHash } from './user-password.ts';

export type PasswordAccount = 'user' | 'owner';

/** A principal with the version of its current password. */
export interface Holder {
  readonly version: string;
  readonly principal: Principal;
}

export interface CredentialVersions {
  /**
   * Reads the stored hash and compares the password with it. An earlier verdict about the password does not
   * count, nor one of another node. Undefined = another password, or no such account. Throws `Unavailable`.
   */
  confirm(kind: PasswordAccount, name: string, password: string): Promise<Holder | undefined>;
  /**
   * Returns the principal with its current roles if `version` is still current, else undefined. A promise
   * means a read from CouchDB; it may reject with `Unavailable`.
   */
  holder(
    kind: PasswordAccount,
    name: string,
    version: string,
  ): Principal | undefined | Promise<Principal | undefined>;
  close(): void;
}

export interface CredentialVersionsOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly bus: Pick<InvalidationBus, 'onMessage' | 'upUntil'>;
  /**
   * Key of the fingerprints. Fingerprints travel in cookies; without a key they would allow offline guessing.
   * All replicas use the same key.
   */
  readonly secret: Buffer;
  readonly hashes: Pick<PasswordHashLimiter, 'check'>;
  readonly credentialCacheSeconds: number;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  readonly now?: () => number;
}

interface Stored extends Holder {
  readonly hash: PasswordHash;
}

/**
 * Creates the versions of credentials, read through a cache. The invalidation bus drops changed users from
 * the cache.
 */
export function createCredentialVersions(options: CredentialVersionsOptions): CredentialVersions {
  const { couch, bus } = options;
  const toFingerprint: Fingerprint = (digest) => fingerprint(options.secret, digest);
  const cacheOptions = {
    freshUntil: (_holder: unknown, readAt: number) =>
      holdsUntil(bus, readAt, options.credentialCacheSeconds, options.fallbackCacheSeconds),
    outageMs: options.outageCacheSeconds * 1000,
    keepSeconds: options.credentialCacheSeconds + options.outageCacheSeconds,
    ...(options.now === undefined ? {} : { now: options.now }),
  };
  const users = new ReadThrough<Stored | undefined>({
    ...cacheOptions,
    read: (name) => readUser(couch, name, toFingerprint),
  });
  const owners = new ReadThrough<Stored | undefined>({
    ...cacheOptions,
    read: (slot) => readOwner(couch, slot, toFingerprint),
  });
  bus.onMessage((item) => {
    if (item.kind === 'user') users.drop(item.name);
  });
  const passwords = new KnownPasswords();

  async function matches(account: string, { version, hash }: Stored, password: string): Promise<boolean> {
    const known = passwords.isCorrect(account, version, password);
    if (known !== undefined) return known;
    const isCorrect = await options.hashes.check(() => isPasswordOf(hash, password));
    if (isCorrect) passwords.store(account, version, password);
    return isCorrect;
  }

  return {
    async confirm(kind, name, password) {
      const slot = kind === 'user' ? name : await ownerSlot(couch, name);
      // What is cached may be from before a change.
      const stored = await (kind === 'user' ? users : owners).refresh(slot);
      const isHolder = stored !== undefined && (await matches(`${kind} ${slot}`, stored, password));
      return isHolder ? stored : undefined;
    },
    holder(kind, name, version) {
      // No password has an empty version, which does not name the node of an owner either.
      if (version === '') return undefined;
      const found = kind === 'user' ? users.get(name) : owners.get(slotOf(nodeIn(version), name));
      return found instanceof Promise
        ? found.then((stored) => heldBy(stored, version))
        : heldBy(found, version);
    },
    close() {
      users.close();
      owners.close();
    },
  };
}

function fingerprint(secret: Buffer, digest: string): string {
  return createHmac('sha256', secret)
    .update(`couchgate credential 1.${digest}`)
    .digest('base64url')
    .slice(0, 22);
}

function heldBy(stored: Stored | undefined, version: string): Principal | undefined {
  return stored?.version === version ? stored.principal : undefined;
}

type Fingerprint = (digest: string) => string;

async function readUser(
  couch: Pick<Couch, 'ask'>,
  name: string,
  fingerprint: Fingerprint,
): Promise<Stored | undefined> {
  const document = await readUserDocument(couch, name);
  if (document === undefined) return undefined;
  const { salt, derived_key, password_sha, password_scheme, iterations, pbkdf2_prf } = document;
  const version = fingerprint(JSON.stringify([name, salt, derived_key, password_sha]));
  const hash = { salt, derived_key, password_sha, password_scheme, iterations, pbkdf2_prf };
  return { version, principal: userIn(document, name), hash };
}

/**
 * Every node stores its server admins with its own salt, so their version includes the node name.
 * Source: docs.couchdb.org/en/stable/api/server/configuration.html
 */
async function readOwner(
  couch: Pick<Couch, 'ask'>,
  slot: string,
  fingerprint: Fingerprint,
): Promise<Stored | undefined> {
  const [node = '', name = ''] = slot.split('\n');
  const digest = await readAdmin(couch, node, name);
  const hash = adminHash(digest);
  if (hash === undefined) return undefined;
  const version = `${node} ${fingerprint(JSON.stringify([name, digest]))}`;
  return { version, principal: ownerOf(name), hash };
}

/** Returns the slot of a server admin on the node that answers now. Throws `Unavailable`. */
async function ownerSlot(couch: Pick<Couch, 'ask'>, name: string): Promise<string> {
  const { status, body } = await couch.ask({ method: 'GET', path: '/_node/_local' });
  const node = status === 200 ? ((body ?? {}) as { name?: unknown }).name : undefined;
  if (typeof node === 'string' && !node.includes(' ') && !name.includes('\n')) return slotOf(node, name);
  throw new Unavailable('Credentials cannot be checked at present.', {
    detail: `_node/_local answered ${status}`,
  });
}

function slotOf(node: string, name: string): string {
  return `${node}\n${name}`;
}

function nodeIn(version: string): string {
  return version.slice(0, version.indexOf(' '));
}
