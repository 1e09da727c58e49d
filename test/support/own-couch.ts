// Builds Couchgate's CouchDB client, store, invalidation bus and key store, as one replica has them.
import { createHmac } from 'node:crypto';
import { createCouch, type CouchClient } from '../../src/couch/client.ts';
import { createKeyStore, type KeyStoreOptions, type RunningKeyStore } from '../../src/identity/key-store.ts';
import { createInvalidationBus, type RunningInvalidationBus } from '../../src/invalidation/store-bus.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { createStore, type Store } from '../../src/couch/store.ts';

export interface CouchAccess {
  readonly urls: readonly string[];
  readonly jwtSecretBase64: string;
  readonly kid: string;
}

/** The Authorization header of Couchgate's own requests. */
export function ownToken({ jwtSecretBase64, kid }: CouchAccess): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 60;
  const text = `${part({ alg: 'HS256', typ: 'JWT', kid })}.${part({ sub: 'couchgate', '_couchdb.roles': ['_admin'], exp })}`;
  const signature = createHmac('sha256', Buffer.from(jwtSecretBase64, 'base64'))
    .update(text)
    .digest('base64url');
  return `Bearer ${text}.${signature}`;
}

export function ownCouch(access: CouchAccess, requestTimeoutMs = 10_000): CouchClient {
  return createCouch({
    pickNode: (tried) => access.urls.map((url) => ({ url })).find(({ url }) => !tried.has(url)),
    authorization: () => ownToken(access),
    nodeFailed: () => undefined,
    connectTimeoutMs: 1000,
    requestTimeoutMs,
  });
}

export interface Replica {
  readonly couch: CouchClient;
  readonly store: Store;
  readonly bus: RunningInvalidationBus;
  readonly keys: RunningKeyStore;
  /** Every invalidation that the bus delivered. */
  readonly invalidations: BusMessage[];
  close(): Promise<void>;
}

/** Starts one replica of Couchgate, without its HTTP server. */
export function startReplica(
  access: CouchAccess,
  options: Partial<KeyStoreOptions> & { readonly database: string },
): Replica {
  const couch = ownCouch(access);
  const now = options.now ?? Date.now;
  const report = (): void => undefined;
  const store = createStore({ couch, database: options.database, report });
  const bus = createInvalidationBus({ couch, store, report, now });
  const keys = createKeyStore({
    couch,
    store,
    bus,
    now,
    fallbackCacheSeconds: 2,
    outageCacheSeconds: 60,
    keyCacheEntries: 100_000,
    ...options,
  });
  const invalidations: BusMessage[] = [];
  bus.onMessage((invalidation) => invalidations.push(invalidation));
  store.start();
  bus.start();
  return {
    couch,
    store,
    bus,
    keys,
    invalidations,
    async close() {
      await keys.close();
      bus.close();
      store.close();
      await couch.close();
    },
  };
}
