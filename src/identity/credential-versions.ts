// Identifies the current password of a user or a server admin by a fingerprint of CouchDB's digest. Sessions
// are bound to it, so a changed password ends them.
import { createHmac } from 'node:crypto';
import { type Couch } from '../couch/couch.ts';
import { ReadThrough } from '../invalidation/read-through-cache.ts';
import { ownerOf, readAdmin, readUserDocument, userIn } from './couch-accounts.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { type Principal } from '../principal/principal.ts';

export interface CredentialVersions {
  /**
   * Returns the version of the principal's current password. An empty string = CouchDB stores no digest that
   * Couchgate can read. Throws `Unavailable`.
   */
  versionOf(principal: Principal & { readonly kind: 'user' | 'owner' }): Promise<string>;
  /**
   * Returns the principal with its current roles if `version` is still current, else undefined. A promise
   * means a read from CouchDB; it may reject with `Unavailable`.
   */
  holder(
    kind: 'user' | 'owner',
    name: string,
    version: string,
  ): Principal | undefined | Promise<Principal | undefined>;
  close(): void;
}

export interface CredentialVersionsOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly bus: InvalidationBus;
  /**
   * Key of the fingerprints. Fingerprints travel in cookies; without a key they would allow offline guessing.
   * All replicas use the same key.
   */
  readonly secret: Buffer;
  readonly credentialCacheSeconds: number;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  readonly now?: () => number;
}

/** A principal with the version of its current password. */
interface Holder {
  readonly version: string;
  readonly principal: Principal;
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
  const users = new ReadThrough<Holder | undefined>({
    ...cacheOptions,
    read: (name) => readUser(couch, name, toFingerprint),
  });
  const owners = new ReadThrough<Holder | undefined>({
    ...cacheOptions,
    read: (slot) => readOwner(couch, slot, toFingerprint),
  });
  bus.onMessage((item) => {
    if (item.kind === 'user') users.drop(item.name);
  });
  return {
    async versionOf({ kind, name }) {
      if (kind === 'user') return (await users.get(name))?.version ?? '';
      const slot = await ownerSlot(couch, name);
      return slot === undefined ? '' : ((await owners.get(slot))?.version ?? '');
    },
    holder(kind, name, version) {
      // An owner without a version has no digest to compare with. Such a session is valid until it expires,
      // and is not renewed.
      if (version === '') return kind === 'owner' ? ownerOf(name) : undefined;
      const found = kind === 'user' ? users.get(name) : owners.get(slotOf(nodeIn(version), name));
      return found instanceof Promise
        ? found.then((holder) => heldBy(holder, version))
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

function heldBy(holder: Holder | undefined, version: string): Principal | undefined {
  return holder?.version === version ? holder.principal : undefined;
}

type Fingerprint = (digest: string) => string;

async function readUser(
  couch: Pick<Couch, 'ask'>,
  name: string,
  fingerprint: Fingerprint,
): Promise<Holder | undefined> {
  const document = await readUserDocument(couch, name);
  if (document === undefined) return undefined;
  const { salt, derived_key, password_sha } = document;
  const version = fingerprint(JSON.stringify([name, salt, derived_key, password_sha]));
  return { version, principal: userIn(document, name) };
}

/**
 * Every node stores its server admins with its own salt, so their version includes the node name.
 * Source: docs.couchdb.org/en/stable/api/server/configuration.html
 */
async function readOwner(
  couch: Pick<Couch, 'ask'>,
  slot: string,
  fingerprint: Fingerprint,
): Promise<Holder | undefined> {
  const [node = '', name = ''] = slot.split('\n');
  const digest = await readAdmin(couch, node, name);
  if (typeof digest !== 'string') return undefined;
  return { version: `${node} ${fingerprint(JSON.stringify([name, digest]))}`, principal: ownerOf(name) };
}

/**
 * Returns the slot of a server admin on the node that answers now. Undefined if the response has no node
 * name, as from the embedded node.
 */
async function ownerSlot(couch: Pick<Couch, 'ask'>, name: string): Promise<string | undefined> {
  const { status, body } = await couch.ask({ method: 'GET', path: '/_node/_local' });
  const node = status === 200 ? ((body ?? {}) as { name?: unknown }).name : undefined;
  return typeof node === 'string' && !node.includes(' ') && !name.includes('\n')
    ? slotOf(node, name)
    : undefined;
}

function slotOf(node: string, name: string): string {
  return `${node}\n${name}`;
}

function nodeIn(version: string): string {
  return version.slice(0, version.indexOf(' '));
}
