// A CouchDB in memory for Couchgate's own requests. Every database exists. The user `x` and the server admin
// `admin` exist, both with password `y`.
import { createHash } from 'node:crypto';
import { type CouchClient } from '../../src/couch/client.ts';
import { type CouchAnswer, type CouchRequest } from '../../src/couch/couch.ts';
import { SimulatedCluster } from './simulated-cluster.ts';

export interface MemoryCouch extends CouchClient {
  /** The requests so far, in order: `PUT /db`. */
  readonly asked: readonly string[];
  /** Grants that every security object contains, whatever is written into it. */
  readonly grants: Map<string, readonly string[]>;
}

const PASSWORD_SHA = createHash('sha1').update('ys').digest('hex');
const HASH = { password_scheme: 'simple', salt: 's', password_sha: PASSWORD_SHA };
const USER = { _id: 'org.couchdb.user:x', name: 'x', roles: [], ...HASH };
const ADMIN_HASH = `-hashed-${PASSWORD_SHA},s`;
const ADMIN = { name: 'admin', roles: ['_admin'] };
const SIGNED_IN: Readonly<Record<string, object>> = {
  [`Basic ${Buffer.from('x:y').toString('base64')}`]: USER,
  [`Basic ${Buffer.from('admin:y').toString('base64')}`]: ADMIN,
};
const OK = { status: 200, body: { ok: true } };
const CREATED = { status: 201, body: { ok: true } };
const MISSING = { status: 404, body: { error: 'not_found', reason: 'missing' } };
const WRONG = { status: 401, body: { error: 'unauthorized', reason: 'Name or password is incorrect.' } };

type SecurityObject = Readonly<Record<string, unknown>>;

export function memoryCouch(): MemoryCouch {
  const asked: string[] = [];
  const grants = new Map<string, readonly string[]>();
  const objects = new Map<string, SecurityObject>();
  const records = new SimulatedCluster({ copies: 1 });

  function securityObject({ method, body }: CouchRequest, database: string): CouchAnswer {
    if (method === 'PUT') {
      objects.set(database, body as SecurityObject);
      return OK;
    }
    const stored = objects.get(database) ?? {};
    const cloudant = { ...(stored['cloudant'] as object | undefined), ...Object.fromEntries(grants) };
    return { status: 200, body: { ...stored, ...(grants.size === 0 ? {} : { cloudant }) } };
  }

  /** A permission record contains them too. */
  function withGrants(request: CouchRequest): CouchRequest {
    if (request.method !== 'PUT' || grants.size === 0) return request;
    const body = request.body as { readonly grants?: object | null };
    return { ...request, body: { ...body, grants: { ...body.grants, ...Object.fromEntries(grants) } } };
  }

  function answer(request: CouchRequest): CouchAnswer | Promise<CouchAnswer> {
    const { method, headers, body } = request;
    const [path = ''] = request.path.split('?');
    const [database = '', document] = path.split('/').slice(1).map(decodeURIComponent);
    if (path === '/_all_dbs') return { status: 200, body: ['db'] };
    if (path === '/_dbs_info') {
      const { keys } = body as { readonly keys: readonly string[] };
      return { status: 200, body: keys.map((key) => ({ key, info: { db_name: key } })) };
    }
    if (path === '/_session') {
      const userCtx = SIGNED_IN[headers?.['Authorization'] ?? ''];
      return userCtx === undefined ? WRONG : { status: 200, body: { userCtx } };
    }
    if (path === '/_node/_local') return { status: 200, body: { name: 'node@memory' } };
    if (path === '/_node/node%40memory/_config/admins/admin') return { status: 200, body: ADMIN_HASH };
    if (path === '/_node/_local/_config/admins') return { status: 200, body: { admin: ADMIN_HASH } };
    if (path === '/_replicator/_all_docs') {
      const { keys } = body as { readonly keys: readonly string[] };
      return { status: 200, body: { rows: keys.map((key) => ({ key, error: 'not_found' })) } };
    }
    if (database === 'couchgate' || path === '/_membership') return records.ask(withGrants(request));
    if (document === '_security') return securityObject(request, database);
    if (
      document === undefined &&
      method === 'GET' &&
      /^(?:[^_]|_replicator$|_global_changes$)/u.test(database)
    )
      return { status: 200, body: { instance_start_time: '1' } };
    if (document === USER._id) return { status: 200, body: USER };
    const isSystem = database.startsWith('_') && database !== '_global_changes';
    if (document !== undefined || isSystem) return MISSING;
    if (method === 'PUT') return CREATED;
    if (method !== 'DELETE') return MISSING;
    objects.delete(database);
    return OK;
  }

  return {
    asked,
    grants,
    ask(request) {
      asked.push(`${request.method} ${request.path}`);
      return Promise.resolve().then(() => answer(request));
    },
    follow(_database, on) {
      queueMicrotask(() => on.state(true));
      return { close: () => undefined };
    },
    close: () => Promise.resolve(),
  };
}
