// Requests that follow from one another, with real passwords, cookies and permissions. `{name}` stands for what an earlier answer held.
import { bytesOf, type FenceRequest } from './request.ts';

export interface FlowStep {
  readonly request: FenceRequest;
  /** Values to keep of the answer, by name. */
  readonly keep: Readonly<Record<string, RegExp>>;
}

interface Step {
  readonly line: string;
  readonly basic?: string;
  readonly cookie?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly keep?: Readonly<Record<string, RegExp>>;
}

const OWNER = { basic: 'admin:y' };
const USER = { basic: 'x:y' };
const KEY = { basic: '{key}:{password}' };
const COOKIE = /AuthSession=([^;]+)/;

const STEPS: readonly Step[] = [
  { line: 'GET /_session' },
  { line: 'GET /_session', ...OWNER },
  { line: 'GET /_session', ...USER },
  { line: 'GET /_session', basic: 'x:wrong' },
  { line: 'GET /_session', basic: 'unknown:y' },
  { line: 'GET /_session', basic: 'nobody:y' },
  { line: 'GET /_session', headers: ['Authorization: Bearer a.b.c'] },
  { line: 'GET /_session', headers: ['Cookie: AuthSession=$'] },
  { line: 'POST /_session', body: '{"name":"x","password":"wrong"}' },
  { line: 'POST /_session?next=/after', body: '{"name":"x","password":"y"}', keep: { xCookie: COOKIE } },
  { line: 'GET /_session', cookie: '{xCookie}' },
  { line: 'GET /db/doc', cookie: '{xCookie}' },
  { line: 'POST /_session', body: '{"name":"admin","password":"y"}', keep: { ownerCookie: COOKIE } },
  { line: 'GET /_all_dbs', cookie: '{ownerCookie}' },
  {
    line: 'POST /_api/v2/api_keys',
    ...OWNER,
    keep: { key: /"key":"([^"]+)"/, password: /"password":"([^"]+)"/ },
  },
  { line: 'GET /db/doc', ...KEY },
  {
    line: 'PUT /_api/v2/db/db/_security',
    ...OWNER,
    body: '{"cloudant":{"{key}":["_reader","_writer"],"x":["_reader"],"nobody":["_reader"]},"note":1}',
  },
  { line: 'GET /db/_security', ...OWNER },
  { line: 'GET /db/_security', ...KEY },
  { line: 'GET /db/doc', ...KEY },
  { line: 'PUT /db/doc', ...KEY, body: '{"a":1}' },
  { line: 'PUT /db/_design/d', ...KEY, body: '{}' },
  { line: 'POST /db/_bulk_docs', ...KEY, body: '{"docs":[{"_id":"_design/x"}]}' },
  { line: 'GET /db/doc', cookie: '{xCookie}' },
  { line: 'PUT /db/doc', cookie: '{xCookie}', body: '{"a":1}' },
  { line: 'GET /db/doc' },
  { line: 'GET /db/doc', basic: '{key}:wrong' },
  { line: 'POST /_session', body: '{"name":"{key}","password":"{password}"}', keep: { keyCookie: COOKIE } },
  { line: 'GET /_session', cookie: '{keyCookie}' },
  { line: 'PATCH /_api/v2/api_keys/{key}', ...OWNER, body: '{"label":"a label"}' },
  { line: 'PATCH /_api/v2/api_keys/{key}', ...OWNER, body: '{"unknown":1}' },
  { line: 'GET /_api/v2/api_keys/{key}', ...OWNER },
  { line: 'GET /_api/v2/api_keys', ...OWNER },
  { line: 'GET /_api/v2/api_keys', ...KEY },
  {
    line: 'POST /_api/v2/api_keys/{key}/rotate',
    ...OWNER,
    keep: { rotated: /"password":"([^"]+)"/ },
  },
  { line: 'GET /db/doc', basic: '{key}:{rotated}' },
  { line: 'GET /db/doc', ...KEY },
  { line: 'PUT /_users/org.couchdb.user:{key}', ...OWNER, body: '{"name":"{key}"}' },
  { line: 'PUT /_users/org.couchdb.user:z', ...OWNER, body: '{"name":"z"}' },
  { line: 'DELETE /_api/v2/api_keys/{key}', ...OWNER },
  { line: 'GET /db/doc', basic: '{key}:{rotated}' },
  { line: 'GET /_session', cookie: '{keyCookie}' },
  { line: 'PUT /db2', ...OWNER },
  { line: 'GET /db2/doc', ...USER },
  { line: 'POST /api/generate_api_key', ...OWNER },
  {
    line: 'POST /api/set_permissions',
    ...OWNER,
    headers: ['Content-Type: application/x-www-form-urlencoded'],
    body: 'database=db2&username=x&roles=_reader&roles=_replicator',
  },
  { line: 'GET /db2/doc', ...USER },
  { line: 'PUT /db2/_security', ...OWNER, body: '{"couchdb_auth_only":true,"members":{"names":["x"]}}' },
  { line: 'GET /db2/doc', ...USER },
  { line: 'GET /db2/doc' },
  { line: 'PUT /db2/_revs_limit', ...USER, body: '10' },
  { line: 'GET /db2/_security', ...USER },
  { line: 'DELETE /db2', ...USER },
  { line: 'DELETE /db2', ...OWNER },
  { line: 'POST /_replicate', ...OWNER, body: '{"source":"db","target":"db2"}' },
  { line: 'POST /_replicate', ...OWNER, body: '{"source":"https://1.1.1.1/x","target":"https://8.8.8.8/y"}' },
  { line: 'DELETE /_session', cookie: '{xCookie}' },
  { line: 'GET /_session', cookie: '{xCookie}' },
  { line: 'GET /_api/v2/user/config/cors', ...OWNER },
  {
    line: 'PUT /_api/v2/user/config/cors',
    ...OWNER,
    body: '{"enable_cors":true,"allow_credentials":true,"origins":["https://page.example"]}',
  },
  {
    line: 'OPTIONS /db/doc',
    headers: ['Origin: https://page.example', 'Access-Control-Request-Method: PUT'],
  },
  {
    line: 'OPTIONS /db/doc',
    headers: ['Origin: https://other.example', 'Access-Control-Request-Method: PUT'],
  },
  { line: 'GET /db/doc', headers: ['Origin: https://page.example'] },
  {
    line: 'PUT /db/doc',
    cookie: '{ownerCookie}',
    headers: ['Origin: https://other.example', 'Sec-Fetch-Site: cross-site'],
    body: '{}',
  },
];

/** The steps in their order; each is made when those before it are over. */
export function* flowSteps(kept: ReadonlyMap<string, string>): Generator<FlowStep> {
  for (const [index, { line, basic, cookie, headers = [], body, keep = {} }] of STEPS.entries()) {
    const as = basic ?? cookie ?? 'nobody';
    const fill = (text: string): string =>
      text.replace(/\{(\w+)\}/g, (all, name: string) => kept.get(name) ?? all);
    const hasType = headers.some((header) => header.startsWith('Content-Type'));
    const credentials = [
      ...(basic === undefined ? [] : [`Authorization: Basic ${Buffer.from(fill(basic)).toString('base64')}`]),
      ...(cookie === undefined ? [] : [`Cookie: AuthSession=${fill(cookie)}`]),
    ];
    const type = body === undefined || hasType ? [] : ['Content-Type: application/json'];
    const bytes = bytesOf({
      line: fill(line),
      headers: [...credentials, ...type, ...headers],
      ...(body === undefined ? {} : { body: Buffer.from(fill(body)) }),
    });
    yield { request: { name: `flow ${index + 1}: ${line} as ${as}`, bytes }, keep };
  }
}
