// Couchgate's own conversation with a test's CouchDB, and what stands on it: the store, the news desk and the keys, as one replica of Couchgate has them.
import { createHmac } from 'node:crypto';
import { createCouch, type CouchClient } from '../../src/couch/client.ts';
import { createKeyStore, type KeyStoreOptions, type RunningKeyStore } from '../../src/identity/key-store.ts';
import { createNewsDesk, type RunningNewsDesk } from '../../src/identity/news-feed.ts';
import { type News } from '../../src/identity/news.ts';
import { createStore, type Store } from '../../src/identity/store.ts';

export interface CouchAccess {
  readonly urls: readonly string[];
  readonly jwtSecretBase64: string;
  readonly kid: string;
}

/** The Authorization header of Couchgate itself. */
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
  readonly desk: RunningNewsDesk;
  readonly keys: RunningKeyStore;
  /** Everything that the desk's listeners heard. */
  readonly heard: News[];
  close(): Promise<void>;
}

/** One replica of Couchgate, without its front. */
export function startReplica(
  access: CouchAccess,
  options: Partial<KeyStoreOptions> & { readonly database: string },
): Replica {
  const couch = ownCouch(access);
  const now = options.now ?? Date.now;
  const report = (): void => undefined;
  const store = createStore({ couch, database: options.database, report });
  const desk = createNewsDesk({ couch, store, report, now });
  const keys = createKeyStore({
    couch,
    store,
    desk,
    now,
    fallbackCacheSeconds: 2,
    outageCacheSeconds: 60,
    ...options,
  });
  const heard: News[] = [];
  desk.listen((news) => heard.push(news));
  store.start();
  desk.start();
  return {
    couch,
    store,
    desk,
    keys,
    heard,
    async close() {
      await keys.close();
      desk.close();
      store.close();
      await couch.close();
    },
  };
}
