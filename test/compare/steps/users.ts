// Steps about users, sessions and replication.
import {
  ALICE,
  DB,
  del,
  get,
  NOBODY,
  post,
  put,
  REPLICATION,
  TARGETS,
  USER_1,
  USERS,
  type Seen,
  type Step,
} from '../step.ts';

const [U1, U2] = USERS.map((name) => `/_users/org.couchdb.user:${name}`) as [string, string];
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const withCookie = (seen: Seen) => ({ cookie: seen.cookie('session') });
const ANY = { selector: { _id: { $gt: null } } };

export const userSteps: readonly Step[] = [
  put('_users PUT', U1, { body: { name: USERS[0], type: 'user', roles: ['reader'], password: 'pw1' } }),
  put('_users PUT 2', U2, { body: { name: USERS[1], type: 'user', roles: [], password: 'pw2' } }),
  get('_users GET admin', U1),
  get('user basic read', `${DB}/d1`, { who: USER_1 }),
  post('POST _session', '/_session', {
    who: NOBODY,
    body: { name: USERS[0], password: 'pw1' },
    keep: 'session',
  }),
  post('POST _session form', '/_session', {
    who: NOBODY,
    headers: FORM,
    body: `name=${USERS[0]}&password=pw1`,
  }),
  post('POST _session bad', '/_session', { who: NOBODY, body: { name: USERS[0], password: 'no' } }),
  get('GET _session cookie', '/_session', { who: NOBODY, headers: withCookie }),
  del('DELETE _session', '/_session', { who: NOBODY, headers: withCookie }),
  get('user own doc', U1, { who: USER_1 }),
  get('user other doc', U2, { who: USER_1 }),
  put('user escalates own roles', U1, {
    who: USER_1,
    body: { name: USERS[0], type: 'user', roles: ['reader', 'dba'] },
  }),
  get('anon _users/_all_docs', '/_users/_all_docs', { who: NOBODY }),
  post('user _users/_find', '/_users/_find', { who: USER_1, body: ANY }),
  post('user _users/_bulk_get', '/_users/_bulk_get', {
    who: USER_1,
    body: { docs: [{ id: `org.couchdb.user:${USERS[1]}` }] },
  }),
];

/** The address of a database with the owner's credentials, as replication documents hold it. */
function withOwner(seen: Seen, database: string): string {
  const url = new URL(database, seen.url);
  url.username = seen.owner.name;
  url.password = seen.owner.password;
  return url.href;
}

const oneTo = (target: string) => (seen: Seen) => ({
  source: withOwner(seen, DB),
  target: withOwner(seen, target),
  create_target: true,
});

export const replicationSteps: readonly Step[] = [
  post('_replicate', '/_replicate', { body: oneTo(TARGETS[0]) }),
  get('_replicate target count', TARGETS[0]),
  post('_replicate as user', '/_replicate', { who: ALICE, body: oneTo(TARGETS[0]) }),
  post('_replicate anon', '/_replicate', { who: NOBODY, body: { source: DB.slice(1), target: 'compare-4' } }),
  get('_replicate anon made db?', '/compare-4'),
  put('_replicator PUT', `/_replicator/${REPLICATION}`, { body: oneTo(TARGETS[1]) }),
  get('_replicator GET', `/_replicator/${REPLICATION}`, { until: '_replication_state', keep: 'replication' }),
  get('_replicator target', TARGETS[1]),
  del('_replicator DELETE', (seen) => `/_replicator/${REPLICATION}?rev=${seen.text('replication', '_rev')}`),
];
