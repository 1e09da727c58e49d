// Defines the steps for users, sessions and replication.
import {
  ALICE,
  DB,
  del,
  get,
  ANONYMOUS,
  post,
  put,
  REPLICATION,
  TARGETS,
  USER_1,
  USERS,
  type StepContext,
  type Step,
} from '../step.ts';

const [U1, U2] = USERS.map((name) => `/_users/org.couchdb.user:${name}`) as [string, string];
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const withCookie = (context: StepContext) => ({ cookie: context.cookie('session') });
const ANY = { selector: { _id: { $gt: null } } };

export const userSteps: readonly Step[] = [
  put('_users PUT', U1, { body: { name: USERS[0], type: 'user', roles: ['reader'], password: 'pw1' } }),
  put('_users PUT 2', U2, { body: { name: USERS[1], type: 'user', roles: [], password: 'pw2' } }),
  get('_users GET admin', U1),
  get('user basic read', `${DB}/d1`, { caller: USER_1 }),
  post('POST _session', '/_session', {
    caller: ANONYMOUS,
    body: { name: USERS[0], password: 'pw1' },
    saveAs: 'session',
  }),
  post('POST _session form', '/_session', {
    caller: ANONYMOUS,
    headers: FORM,
    body: `name=${USERS[0]}&password=pw1`,
  }),
  post('POST _session bad', '/_session', { caller: ANONYMOUS, body: { name: USERS[0], password: 'no' } }),
  get('GET _session cookie', '/_session', { caller: ANONYMOUS, headers: withCookie }),
  del('DELETE _session', '/_session', { caller: ANONYMOUS, headers: withCookie }),
  get('user own doc', U1, { caller: USER_1 }),
  get('user other doc', U2, { caller: USER_1 }),
  put('user escalates own roles', U1, {
    caller: USER_1,
    body: { name: USERS[0], type: 'user', roles: ['reader', 'dba'] },
  }),
  get('anon _users/_all_docs', '/_users/_all_docs', { caller: ANONYMOUS }),
  post('user _users/_find', '/_users/_find', { caller: USER_1, body: ANY }),
  post('user _users/_bulk_get', '/_users/_bulk_get', {
    caller: USER_1,
    body: { docs: [{ id: `org.couchdb.user:${USERS[1]}` }] },
  }),
];

/** The URL of a database with the owner's credentials, as replication documents contain it. */
function urlWithCredentials(context: StepContext, database: string): string {
  const url = new URL(database, context.url);
  url.username = context.owner.name;
  url.password = context.owner.password;
  return url.href;
}

const replicationTo = (target: string) => (context: StepContext) => ({
  source: urlWithCredentials(context, DB),
  target: urlWithCredentials(context, target),
  create_target: true,
});

export const replicationSteps: readonly Step[] = [
  post('_replicate', '/_replicate', { body: replicationTo(TARGETS[0]) }),
  get('_replicate target count', TARGETS[0]),
  post('_replicate as user', '/_replicate', { caller: ALICE, body: replicationTo(TARGETS[0]) }),
  post('_replicate anon', '/_replicate', {
    caller: ANONYMOUS,
    body: { source: DB.slice(1), target: 'compare-4' },
  }),
  get('_replicate anon made db?', '/compare-4'),
  put('_replicator PUT', `/_replicator/${REPLICATION}`, { body: replicationTo(TARGETS[1]) }),
  get('_replicator GET', `/_replicator/${REPLICATION}`, {
    untilMember: '_replication_state',
    saveAs: 'replication',
  }),
  get('_replicator target', TARGETS[1]),
  del(
    '_replicator DELETE',
    (context) => `/_replicator/${REPLICATION}?rev=${context.text('replication', '_rev')}`,
  ),
];
