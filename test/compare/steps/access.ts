// Defines the steps for tokens, and for the access of members, non-members and database admins.
// There are no steps for proxy authentication: Couchgate uses JWT, and its setup disables the proxy handler.
import {
  ALICE,
  BOB,
  copy,
  DB,
  del,
  EVE,
  get,
  head,
  ANONYMOUS,
  post,
  put,
  ROOT,
  SECURITY,
  type Step,
} from '../step.ts';

const ANY = { selector: { _id: { $gt: null } } };
const JSON_TYPE = { 'content-type': 'application/json' };

export const accessSteps: readonly Step[] = [
  get('jwt _session', '/_session', { caller: ALICE }),
  get('jwt with _admin', '/_session', { caller: ROOT }),
  get('jwt _admin role: _all_dbs', '/_all_dbs?startkey=%22compare-1%22&endkey=%22compare-1%22', {
    caller: ROOT,
  }),
  get('jwt no roles', '/_session', { caller: { jwt: 'zed', roles: [] } }),
  get('jwt malformed', '/_session', { caller: { token: 'x' } }),
  get('jwt not JSON', '/_session', { caller: { token: 'eA.eA.eA' } }),
  get('jwt malformed on db', `${DB}/d1`, { caller: { token: 'x' } }),
  get('anon read', `${DB}/d1`, { caller: ANONYMOUS }),
  get('member read', `${DB}/d1`, { caller: ALICE }),
  get('member db info', DB, { caller: ALICE }),
  get('non-member read', `${DB}/d1`, { caller: EVE }),
  get('non-member db info', DB, { caller: EVE }),
  head('non-member HEAD db', DB, { caller: EVE }),
  get('non-member _all_docs', `${DB}/_all_docs`, { caller: EVE }),
  get('non-member _changes', `${DB}/_changes`, { caller: EVE }),
  post('non-member _find', `${DB}/_find`, { caller: EVE, body: ANY }),
  post('non-member _bulk_get', `${DB}/_bulk_get`, { caller: EVE, body: { docs: [{ id: 'd1' }] } }),
  get('non-member _index GET', `${DB}/_index`, { caller: EVE }),
  post('non-member _explain', `${DB}/_explain`, { caller: EVE, body: { selector: { a: 1 } } }),
  get('non-member _security GET', `${DB}/_security`, { caller: EVE }),
  get('non-member att', `${DB}/att/file.bin`, { caller: EVE }),
  get('non-member _local', `${DB}/_local/l1`, { caller: EVE }),
  put('non-member write', `${DB}/eve1`, { caller: EVE, body: { a: 1 } }),
  post('non-member bulk', `${DB}/_bulk_docs`, { caller: EVE, body: { docs: [{ _id: 'e2' }] } }),
  put('member write', `${DB}/al1`, { caller: ALICE, body: { a: 1 } }),
  post('member bulk', `${DB}/_bulk_docs`, {
    caller: ALICE,
    body: { docs: [{ _id: 'al2' }, { _id: '_design/alx', views: {} }] },
  }),
  put('member ddoc write', `${DB}/_design/al`, { caller: ALICE, body: { views: {} } }),
  post('member _index POST', `${DB}/_index`, { caller: ALICE, body: { index: { fields: ['q'] } } }),
  post('member POST ddoc', DB, { caller: ALICE, body: { _id: '_design/al3', views: {} } }),
  copy('member COPY to ddoc', `${DB}/d1`, { caller: ALICE, headers: { destination: '_design/al4' } }),
  put('member _security PUT', `${DB}/_security`, { caller: ALICE, body: SECURITY }),
  post('member _compact', `${DB}/_compact`, { caller: ALICE, headers: JSON_TYPE }),
  get('member _security GET', `${DB}/_security`, { caller: ALICE }),
  get('member view', `${DB}/_design/v/_view/by_k`, { caller: ALICE }),
  del('member delete db', DB, { caller: ALICE }),
  post('member _purge', `${DB}/_purge`, { caller: ALICE, body: { p1: ['1-zz'] } }),
  get('member _active_tasks', '/_active_tasks', { caller: ALICE }),
  get('member _node config', '/_node/_local/_config', { caller: ALICE }),
  put('dbadmin ddoc write', `${DB}/_design/bob`, { caller: BOB, body: { views: {} } }),
  put('dbadmin _security PUT', `${DB}/_security`, { caller: BOB, body: SECURITY }),
  del('dbadmin delete db', DB, { caller: BOB }),
];

/** Its errors contain all arguments of a validation function. */
const VALIDATOR = `function(n,o,u,s){
  if(n.forbid) throw({forbidden:'no '+u.name+' '+u.roles.join('+')+' db='+u.db+' sec='+JSON.stringify(s.admins)});
  if(n.unauth) throw({unauthorized:'who'});
  if(n.crash) undefinedFn();
  if(n.ctx) throw({forbidden: JSON.stringify(u)});
}`;

export const validationSteps: readonly Step[] = [
  put('validate ddoc', `${DB}/_design/val`, { body: { validate_doc_update: VALIDATOR } }),
  put('vdu forbidden', `${DB}/vx`, { caller: ALICE, body: { forbid: 1 }, pauseMs: 1500 }),
  put('vdu userCtx', `${DB}/vx`, { caller: ALICE, body: { ctx: 1 } }),
  put('vdu unauthorized', `${DB}/vx`, { caller: ALICE, body: { unauth: 1 } }),
  put('vdu ok', `${DB}/vx`, { caller: ALICE, body: { fine: 1 } }),
  post('vdu bulk', `${DB}/_bulk_docs`, {
    caller: ALICE,
    body: { docs: [{ _id: 'vb1' }, { _id: 'vb2', forbid: 1 }] },
  }),
  put('vdu crash', `${DB}/vy`, { caller: ALICE, body: { crash: 1 } }),
];
