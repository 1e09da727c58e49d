// Random requests from a fixed seed: patterns of the catalogue in odd spellings, with odd headers and bodies, for every kind of caller. The
// patterns are a copy (patterns.txt), so that the requests stay the same when the catalogue changes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { CALLER_HEADER } from '../support/policy-front.ts';
import { bytesOf, type FenceRequest } from './request.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'PATCH', 'OPTIONS', 'MOVE'];
const CALLERS = [
  ...['nobody', 'user', 'reader', 'writer', 'design', 'replicator', 'security', 'shards', 'db_updates'],
  ...['reader+writer', 'reader+writer', 'design+writer', 'replicator+writer', 'reader+design'],
  ...['admin', 'admin', 'admin', 'admin', 'owner', 'owner', 'owner', 'owner', 'owner', 'owner'],
];
const DATABASES = [
  ...[
    'db',
    'db',
    'db',
    'db',
    'db',
    'db',
    'a/b',
    'd+b',
    'db$(x)',
    'EP',
    '1db',
    'couchgate',
    'x/_users',
    'x/_replicator',
  ],
  ...['_users', '_replicator', '_dbs', '_nodes', 'ü'],
];
const WORDS = [
  ...['doc', 'a b', 'a+b', '100%', 'ü', '_design', '_design/x', '_local/x', '_local/purge-x', '_local', 'd'],
  ...['org.couchdb.user:x', 'org.couchdb.user:nobody', '_security', '_all_docs', '..', '.', 'x;y', 'k', '_x'],
];
const QUERIES = [
  ...[
    'rev=1-a',
    'new_edits=false',
    'new_edits=true;new_edits=false',
    'feed=continuous&timeout=1',
    'batch=ok',
  ],
  ...[
    'basic=true',
    'next=/x',
    'next=//evil.example',
    'q=a&q=b',
    'include_docs=true',
    'password=secret',
    '%ff',
  ],
  ...['filter=_view&view=d/v', 'open_revs=all', 'feed=eventsource', 'f%65ed=longpoll', '?', 'x=\u00e9'],
];
const HEADERS = [
  ...['Accept: application/json', 'Accept: text/html', 'Accept: multipart/mixed', 'Accept-Encoding: gzip'],
  ...['X-Auth-CouchDB-UserName: admin', 'X-Auth-CouchDB-Roles: _admin', 'X_Auth_CouchDB_Roles: _admin'],
  ...[
    'X-Forwarded-For: 10.0.0.1',
    'Forwarded: for=10.0.0.1',
    'X-HTTP-Method-Override: DELETE',
    'TE: trailers',
  ],
  ...[
    'Origin: https://page.example',
    'Sec-Fetch-Site: cross-site',
    'Sec-Fetch-Site: same-origin',
    'If-Match: "1-a"',
  ],
  ...[
    'Cookie: AuthSession=bm90OmE6dG9rZW4',
    'Cookie: AuthSession=$',
    'Authorization: Basic eDp5',
    'Range: bytes=0-1',
  ],
  ...[
    'Authorization: Bearer x.y.z',
    'Referer: http://couchgate.example/',
    'Connection: content-type',
    'Upgrade: h2c',
  ],
  ...[
    'Access-Control-Request-Method: PUT',
    'X-Couch-Full-Commit: true',
    'User-Agent: fence/1.0 "x"',
    'Expect: 100-continue',
  ],
  ...[
    'X-Couch-Request-ID: chosen-by-the-client',
    'X-Couch-Request-ID: a/b',
    'If-None-Match: "1-a"',
    'Prefer: x',
  ],
];
const TYPES = [
  ...[
    'application/json',
    'application/json',
    'application/json',
    'application/json; charset=utf-8',
    'text/plain',
  ],
  ...[
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=b',
    'multipart/related; boundary=b',
  ],
];
const BODIES = [
  ...[
    '{}',
    '{"_id":"doc"}',
    '{"_id":"_design/x"}',
    '{"_id":"_local/x"}',
    '{"_id":"_local/purge-x"}',
    '[]',
    '{',
  ],
  ...['{"_id":"\\u005fdesign/x","_id":"doc"}', '{"docs":[{"_id":"a"},{}]}', '{"docs":[{"_id":"_design/x"}]}'],
  ...[
    '{"docs":[{"_id":"_local/x"},{"_id":"_design/x"}]}',
    '{"docs":[{"_id":"\\u005flocal\\/purge-a"}]}',
    'null',
  ],
  ...[
    '{"docs":[{"_id":"org.couchdb.user:nobody"}]}',
    '{"cloudant":{"k":["_reader"]}}',
    '{"cloudant":{"k":["_x"]}}',
  ],
  ...[
    '{"couchdb_auth_only":true,"members":{"names":["a"]}}',
    '{"keys":["a"]}',
    '{"selector":{}}',
    '{"label":"l"}',
  ],
  ...[
    '{"source":"https://1.1.1.1/x","target":"https://8.8.8.8/y"}',
    '{"source":"http://10.0.0.1/x","target":"y"}',
  ],
  ...[
    '{"_id":"j","source":"https://1.1.1.1/x","target":"https://8.8.8.8/y","owner":"z"}',
    '{"name":"x","password":"y"}',
  ],
  ...[
    '{"name":"x","password":"wrong"}',
    'name=x&password=y',
    'database=db&username=k&roles=_reader',
    'database=db',
  ],
  ...[
    '{"enable_cors":true,"origins":["https://page.example"]}',
    '--b\r\n\r\n{"_id":"_design/x"}\r\n--b--',
    'x',
  ],
];

/** mulberry32: a generator of 32 bits of state, the same everywhere. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

class Chance {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = generator(seed);
  }

  one<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new Error('nothing to choose from');
    return value;
  }

  below(limit: number): number {
    return Math.floor(this.#next() * limit);
  }

  /** True with this probability. */
  happens(probability: number): boolean {
    return this.#next() < probability;
  }
}

const PATTERNS = readFileSync(join(import.meta.dirname, 'patterns.txt'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => {
    const at = line.indexOf('/');
    const methods = line.slice(0, at).trim();
    return { methods: methods === 'every other' ? METHODS : methods.split(' '), path: line.slice(at) };
  });

export function randomRequests(count: number): readonly FenceRequest[] {
  return Array.from({ length: count }, (_, index) => randomRequest(index + 1));
}

/** Each request has a seed of its own: it stays the same when another one changes. */
function randomRequest(number: number): FenceRequest {
  const chance = new Chance(number * 7919);
  const pattern = chance.one(PATTERNS);
  const method = chance.happens(0.85) ? chance.one(pattern.methods) : chance.one(METHODS);
  const query = chance.happens(0.3) ? `?${chance.one(QUERIES)}` : '';
  const line = `${method} ${oddly(chance, pathOf(chance, pattern.path))}${query}`;
  const caller = chance.one(CALLERS);
  const headers = Array.from({ length: chance.below(4) }, () => chance.one(HEADERS));
  if (caller !== 'nobody') headers.push(`${CALLER_HEADER}: ${caller}`);
  if (method === 'COPY' ? chance.happens(0.9) : chance.happens(0.03))
    headers.push(`Destination: ${oddly(chance, chance.one(WORDS))}`);
  const hasBody = method === 'POST' || method === 'PUT' || method === 'PATCH' || chance.happens(0.05);
  const body = hasBody ? framed(chance, headers) : undefined;
  const name = `random ${number}: ${line} as ${caller}`;
  return { name, bytes: bytesOf({ line, headers, ...(body === undefined ? {} : { body }) }) };
}

/** The pattern with its names replaced and its choices made. */
function pathOf(chance: Chance, pattern: string): string {
  let path = pattern;
  // Innermost first: an optional part may hold another one.
  for (let before = ''; before !== path;) {
    before = path;
    path = path
      .replace(/\[([^[\]()]*)\]/, (_, part: string) => (chance.happens(0.5) ? part : ''))
      .replace(/\(([^[\]()]*)\)/, (_, choices: string) => chance.one(choices.split('|')));
  }
  return path.replace(/\{(\w+)(\*?)\}/g, (_, name: string, isMany: string) => {
    if (name === 'db') return segment(chance.one(DATABASES));
    if (name === 'store_database') return 'couchgate';
    if (name === 'illegal_name') return chance.one(['EP', '1db', '%C3%BC']);
    const length = isMany === '' ? 1 : 1 + chance.below(3);
    return Array.from({ length }, () => segment(chance.one(WORDS))).join('/');
  });
}

/** As clients write it: `_design/x` and `_local/x` keep their slash. */
function segment(text: string): string {
  const encoded = encodeURIComponent(text);
  return text.startsWith('_') ? encoded.replace('%2F', '/') : encoded;
}

const INSERTED = ['/', '//', '/./', '/../', '%2F', '%00', '%ff', ';', '\\', '%', '#', '@'];

/** Some characters escaped without need, and now and then something that does not belong there. */
function oddly(chance: Chance, path: string): string {
  if (chance.happens(0.6)) return path;
  let spelled = '';
  for (const character of path) {
    const code = character.charCodeAt(0);
    if (/\w/.test(character) && chance.happens(0.04))
      spelled += `%${chance.happens(0.5) ? code.toString(16) : code.toString(16).toUpperCase()}`;
    else spelled += character;
  }
  if (chance.happens(0.2)) {
    const at = 1 + chance.below(spelled.length);
    spelled = spelled.slice(0, at) + chance.one(INSERTED) + spelled.slice(at);
  }
  if (chance.happens(0.05)) spelled = `http://other.example${spelled}`;
  return chance.happens(0.1) ? `${spelled}/` : spelled;
}

/** A body in one of the framings that HTTP has; writes the headers that go with it. */
function framed(chance: Chance, headers: string[]): Buffer {
  headers.push(`Content-Type: ${chance.one(TYPES)}`);
  let body = Buffer.from(chance.one(BODIES));
  if (chance.happens(0.15)) {
    headers.push('Content-Encoding: gzip');
    if (chance.happens(0.9)) body = gzipSync(body);
  }
  if (!chance.happens(0.2)) return body;
  headers.push('Transfer-Encoding: chunked');
  const middle = Math.ceil(body.length / 2);
  const chunks = [body.subarray(0, middle), body.subarray(middle)].filter((chunk) => chunk.length > 0);
  return Buffer.concat([
    ...chunks.flatMap((chunk) => [
      Buffer.from(`${chunk.length.toString(16)}\r\n`),
      chunk,
      Buffer.from('\r\n'),
    ]),
    Buffer.from('0\r\n\r\n'),
  ]);
}
