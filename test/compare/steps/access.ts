// Steps about tokens (Couchgate speaks to CouchDB by JWT, so proxy authentication is off and not asked about), and about what members, strangers and database admins may do.
import {
  ALICE,
  BOB,
  copy,
  DB,
  del,
  EVE,
  get,
  head,
  NOBODY,
  post,
  put,
  ROOT,
  SECURITY,
  type Step,
} from '../step.ts';

const ANY = { selector: { _id: { $gt: null } } };
const JSON_TYPE = { 'content-type': 'application/json' };

export const accessSteps: readonly Step[] = [
  get('jwt _session', '/_session', { who: ALICE }),
  get('jwt with _admin', '/_session', { who: ROOT }),
  get('jwt _admin role: _all_dbs', '/_all_dbs?startkey=%22compare-1%22&endkey=%22compare-1%22', {
    who: ROOT,
  }),
  get('jwt no roles', '/_session', { who: { jwt: 'zed', roles: [] } }),
  get('jwt malformed', '/_session', { who: { token: 'x' } }),
  get('jwt not JSON', '/_session', { who: { token: 'eA.eA.eA' } }),
  get('jwt malformed on db', `${DB}/d1`, { who: { token: 'x' } }),
  get('anon read', `${DB}/d1`, { who: NOBODY }),
  get('member read', `${DB}/d1`, { who: ALICE }),
  get('member db info', DB, { who: ALICE }),
  get('non-member read', `${DB}/d1`, { who: EVE }),
  get('non-member db info', DB, { who: EVE }),
  head('non-member HEAD db', DB, { who: EVE }),
  get('non-member _all_docs', `${DB}/_all_docs`, { who: EVE }),
  get('non-member _changes', `${DB}/_changes`, { who: EVE }),
  post('non-member _find', `${DB}/_find`, { who: EVE, body: ANY }),
  post('non-member _bulk_get', `${DB}/_bulk_get`, { who: EVE, body: { docs: [{ id: 'd1' }] } }),
  get('non-member _index GET', `${DB}/_index`, { who: EVE }),
  post('non-member _explain', `${DB}/_explain`, { who: EVE, body: { selector: { a: 1 } } }),
  get('non-member _security GET', `${DB}/_security`, { who: EVE }),
  get('non-member att', `${DB}/att/file.bin`, { who: EVE }),
  get('non-member _local', `${DB}/_local/l1`, { who: EVE }),
  put('non-member write', `${DB}/eve1`, { who: EVE, body: { a: 1 } }),
  post('non-member bulk', `${DB}/_bulk_docs`, { who: EVE, body: { docs: [{ _id: 'e2' }] } }),
  put('member write', `${DB}/al1`, { who: ALICE, body: { a: 1 } }),
  post('member bulk', `${DB}/_bulk_docs`, {
    who: ALICE,
    body: { docs: [{ _id: 'al2' }, { _id: '_design/alx', views: {} }] },
  }),
  put('member ddoc write', `${DB}/_design/al`, { who: ALICE, body: { views: {} } }),
  post('member _index POST', `${DB}/_index`, { who: ALICE, body: { index: { fields: ['q'] } } }),
  post('member POST ddoc', DB, { who: ALICE, body: { _id: '_design/al3', views: {} } }),
  copy('member COPY to ddoc', `${DB}/d1`, { who: ALICE, headers: { destination: '_design/al4' } }),
  put('member _security PUT', `${DB}/_security`, { who: ALICE, body: SECURITY }),
  post('member _compact', `${DB}/_compact`, { who: ALICE, headers: JSON_TYPE }),
  get('member _security GET', `${DB}/_security`, { who: ALICE }),
  get('member view', `${DB}/_design/v/_view/by_k`, { who: ALICE }),
  del('member delete db', DB, { who: ALICE }),
  post('member _purge', `${DB}/_purge`, { who: ALICE, body: { p1: ['1-zz'] } }),
  get('member _active_tasks', '/_active_tasks', { who: ALICE }),
  get('member _node config', '/_node/_local/_config', { who: ALICE }),
  put('dbadmin ddoc write', `${DB}/_design/bob`, { who: BOB, body: { views: {} } }),
  put('dbadmin _security PUT', `${DB}/_security`, { who: BOB, body: SECURITY }),
  del('dbadmin delete db', DB, { who: BOB }),
];

/** Speaks of everything a validation function is told. */
const VALIDATOR = `function(n,o,u,s){
  if(n.forbid) throw({forbidden:'no '+u.name+' '+u.roles.join('+')+' db='+u.db+' sec='+JSON.stringify(s.admins)});
  if(n.unauth) throw({unauthorized:'who'});
  if(n.crash) undefinedFn();
  if(n.ctx) throw({forbidden: JSON.stringify(u)});
}`;

export const validationSteps: readonly Step[] = [
  put('validate ddoc', `${DB}/_design/val`, { body: { validate_doc_update: VALIDATOR } }),
  put('vdu forbidden', `${DB}/vx`, { who: ALICE, body: { forbid: 1 }, pauseMs: 1500 }),
  put('vdu userCtx', `${DB}/vx`, { who: ALICE, body: { ctx: 1 } }),
  put('vdu unauthorized', `${DB}/vx`, { who: ALICE, body: { unauth: 1 } }),
  put('vdu ok', `${DB}/vx`, { who: ALICE, body: { fine: 1 } }),
  post('vdu bulk', `${DB}/_bulk_docs`, {
    who: ALICE,
    body: { docs: [{ _id: 'vb1' }, { _id: 'vb2', forbid: 1 }] },
  }),
  put('vdu crash', `${DB}/vy`, { who: ALICE, body: { crash: 1 } }),
];
