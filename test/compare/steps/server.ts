// Defines the steps for the server and its databases.
import { ALICE, DB, del, get, head, ANONYMOUS, post, put, SECURITY, type Step } from '../step.ts';

export const serverSteps: readonly Step[] = [
  get('root', '/'),
  get('root anon', '/', { caller: ANONYMOUS }),
  get('_up', '/_up', { caller: ANONYMOUS }),
  get('_uuids', '/_uuids?count=2', { caller: ANONYMOUS }),
  get('_membership', '/_membership'),
  get('_active_tasks', '/_active_tasks'),
  get('_session admin', '/_session'),
  get('_session anon', '/_session', { caller: ANONYMOUS }),
  get('bad basic auth', '/_session', { caller: { basic: 'admin', password: 'wrong' } }),
  get('_node/_local', '/_node/_local'),
  get('_scheduler/jobs', '/_scheduler/jobs'),
  get('_scheduler/docs', '/_scheduler/docs'),
  get('_db_updates', '/_db_updates?limit=1'),
  put('create db', DB),
  put('create db again', DB),
  put('create db illegal name', '/Compare-Bad'),
  put('create db anon', '/compare-nope', { caller: ANONYMOUS }),
  put('create db as plain user', '/compare-alice', { caller: ALICE }),
  get('db info', DB),
  head('db HEAD', DB),
  get('db missing', '/compare-missing'),
  get('_all_dbs', '/_all_dbs?startkey=%22compare-%22&endkey=%22compare-z%22'),
  get('_all_dbs anon', '/_all_dbs', { caller: ANONYMOUS }),
  get('_all_dbs plain user', '/_all_dbs', { caller: ALICE }),
  post('_dbs_info POST', '/_dbs_info', { body: { keys: [DB.slice(1), 'compare-missing'] } }),
  get('_dbs_info GET', '/_dbs_info?start_key=%22compare-%22&end_key=%22compare-z%22'),
  get('_security default', `${DB}/_security`),
  get('default closed to user', `${DB}/_all_docs`, { caller: ALICE }),
  get('default closed to anon', `${DB}/_all_docs`, { caller: ANONYMOUS }),
  put('_security PUT unknown fields', `${DB}/_security`, { body: SECURITY }),
  get('_security GET', `${DB}/_security`),
];

/** Run at the end, because they delete the database of the run. */
export const lastSteps: readonly Step[] = [
  post('POST doc no id', DB, { body: { k: 'v' } }),
  { name: 'unknown method', method: 'PATCH', path: `${DB}/d1`, body: {} },
  get('unknown _endpoint', '/_nosuch'),
  get('db _unknown', `${DB}/_nosuch`),
  put('_security PUT bad shape', `${DB}/_security`, { body: { admins: { names: 'x' } } }),
  del('DELETE db', DB),
  del('DELETE db missing', DB),
];
