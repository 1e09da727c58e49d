// Runs one replication between two databases over HTTP with PouchDB's replicator.
import PouchDB from 'pouchdb-core';
import { BadRequest } from '../http-errors.ts';
import { isObject, type Json } from './json.ts';

/** Source or target of a replication. */
export interface Endpoint {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** PouchDB's result of a replication. */
export interface ReplicationResult {
  readonly docs_read: number;
  readonly docs_written: number;
  readonly doc_write_failures: number;
  readonly last_seq: number | string;
}

/** A running replication. */
export interface Replication {
  /** Resolves when the replication ends or is cancelled; rejects if it fails. */
  readonly done: Promise<ReplicationResult>;
  cancel(): void;
}

/**
 * Parses `source` or `target`: a URL, or an object with `url`, `headers` and `auth.basic`; undefined if it is
 * missing. A database name means a database of this node (`own`), used with the caller's credentials, as in
 * CouchDB. Throws 400 for an invalid URL, and for a name without `own`.
 */
export function endpointOf(
  given: unknown,
  own?: { readonly url: string; readonly authorization: string | undefined },
): Endpoint | undefined {
  if (given === undefined) return undefined;
  const url = isObject(given) ? given['url'] : given;
  if (typeof url !== 'string') throw new BadRequest('endpoint has an invalid url', 'invalid_replication');
  if (/^https?:\/\//.test(url))
    return { url: checkedUrl(url), headers: isObject(given) ? headersOf(given) : {} };
  if (own === undefined || /\p{Surrogate}/u.test(url))
    throw new BadRequest('endpoint has an invalid url', 'invalid_replication');
  return {
    url: `${own.url}/${encodeURIComponent(url)}`,
    headers: own.authorization === undefined ? {} : { authorization: own.authorization },
  };
}

function checkedUrl(url: string): string {
  if (!URL.canParse(url)) throw new BadRequest('endpoint has an invalid url', 'invalid_replication');
  return url;
}

function headersOf(endpoint: Json): Record<string, string> {
  const headers: Record<string, string> = {};
  if (isObject(endpoint['headers'])) {
    for (const [name, value] of Object.entries(endpoint['headers']))
      if (typeof value === 'string') headers[name.toLowerCase()] = value;
  }
  const basic = isObject(endpoint['auth']) ? endpoint['auth']['basic'] : undefined;
  if (isObject(basic)) {
    const pair = `${String(basic['username'])}:${String(basic['password'])}`;
    headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`;
  }
  return headers;
}

const EMPTY_RESULT: ReplicationResult = { docs_read: 0, docs_written: 0, doc_write_failures: 0, last_seq: 0 };

interface PouchReplication extends Promise<ReplicationResult> {
  cancel(): void;
}

/**
 * Starts a replication. `request` holds CouchDB's options: continuous, create_target, doc_ids, selector,
 * filter and query_params.
 */
export function startReplication(source: Endpoint, target: Endpoint, request: Json): Replication {
  const state: { running?: PouchReplication; cancelled: boolean } = { cancelled: false };
  const done = (async () => {
    if (request['create_target'] === true) await createTarget(target);
    if (state.cancelled) return EMPTY_RESULT;
    state.running = PouchDB.replicate(
      connect(source),
      connect(target),
      optionsOf(request),
    ) as PouchReplication;
    return await state.running;
  })();
  // A failure of a continuous replication has no other handler; without this one it would end the process.
  done.catch(() => undefined);
  return {
    done,
    cancel: () => {
      state.cancelled = true;
      state.running?.cancel();
    },
  };
}

function optionsOf(request: Json): Json {
  const options: Json = request['continuous'] === true ? { live: true, retry: true } : {};
  for (const name of ['doc_ids', 'selector', 'filter', 'query_params'])
    if (request[name] !== undefined) options[name] = request[name];
  return options;
}

function connect(endpoint: Endpoint): object {
  return new PouchDB(endpoint.url, {
    skip_setup: true,
    fetch: (url: string, options: { headers: Headers }) => {
      for (const [name, value] of Object.entries(endpoint.headers)) options.headers.set(name, value);
      return PouchDB.fetch(url, options);
    },
  });
}

async function createTarget(target: Endpoint): Promise<void> {
  const url = new URL(target.url);
  const headers: Record<string, string> = { ...target.headers };
  if (url.username !== '') {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    headers['authorization'] ??= `Basic ${Buffer.from(pair).toString('base64')}`;
    url.username = url.password = '';
  }
  const answer = await fetch(url, { method: 'PUT', headers });
  await answer.arrayBuffer();
  if (answer.ok || answer.status === 412) return;
  throw Object.assign(new Error('could not create the target database'), { status: answer.status });
}
