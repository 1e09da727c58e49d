// Names the present password of a CouchDB user or server admin without knowing it, so that a session ends when it changes. API keys have
// their own versions in the key store.
import { createHmac } from 'node:crypto';
import { type Couch } from '../couch/couch.ts';
import { ReadThrough } from '../invalidation/read-through-cache.ts';
import { ownerOf, readAdmin, readUserDocument, userIn } from './couch-accounts.ts';
import { holdsUntil, type InvalidationBus } from '../invalidation/bus.ts';
import { type Principal } from '../principal/principal.ts';

export interface CredentialVersions {
  /** The version of a principal's present password; empty where CouchDB keeps none that could be named. Throws `Unavailable`. */
  versionOf(principal: Principal & { readonly kind: 'user' | 'owner' }): Promise<string>;
  /** The principal as it is now, its roles included, while `version` is good; else undefined. At once from memory, or a promise that may throw `Unavailable`. */
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
  /** Keys the fingerprints: they travel in cookies, and must not help to guess at a digest. The same on every replica. */
  readonly secret: Buffer;
  readonly credentialCacheSeconds: number;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  readonly now?: () => number;
}

interface Holder {
  readonly version: string;
  readonly principal: Principal;
}

export function createCredentialVersions(options: CredentialVersionsOptions): CredentialVersions {
  const { couch, bus } = options;
  const print: Fingerprint = (digest) => fingerprint(options.secret, digest);
  const keeping = {
    freshUntil: (_holder: unknown, readAt: number) =>
      holdsUntil(bus, readAt, options.credentialCacheSeconds, options.fallbackCacheSeconds),
    outageMs: options.outageCacheSeconds * 1000,
    keepSeconds: options.credentialCacheSeconds + options.outageCacheSeconds,
    ...(options.now === undefined ? {} : { now: options.now }),
  };
  const users = new ReadThrough<Holder | undefined>({
    ...keeping,
    read: (name) => readUser(couch, name, print),
  });
  const owners = new ReadThrough<Holder | undefined>({
    ...keeping,
    read: (slot) => readOwner(couch, slot, print),
  });
  bus.onInvalidation((item) => {
    if (item.kind === 'user') users.drop(item.name);
  });
  return {
    async versionOf({ kind, name }) {
      if (kind === 'user') return (await users.get(name))?.version ?? '';
      const slot = await ownerSlot(couch, name);
      return slot === undefined ? '' : ((await owners.get(slot))?.version ?? '');
    },
    holder(kind, name, version) {
      // Nothing to compare with: such a session lives until it is over, and is not renewed.
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
 * Every node keeps its server admins itself, and salts their passwords itself, so a version of theirs names the node it is from.
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

/** The node that answers now, and the name; undefined where CouchDB does not say (the embedded node has no such thing). */
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
