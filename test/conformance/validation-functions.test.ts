// The validation functions of CouchDB's manual, run for callers of Couchgate and for equal users of CouchDB: a function cannot tell them apart.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { withoutCouchdb } from '../support/cluster.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';

/** docs.couchdb.org/en/stable/ddocs/ddocs.html, "Validate Document Update Functions". */
const IS_ADMIN = `function is_server_or_database_admin(userCtx, secObj) {
  if (userCtx.roles.indexOf('_admin') !== -1) return true;
  if (secObj && secObj.admins && secObj.admins.names && secObj.admins.names.indexOf(userCtx.name) !== -1) return true;
  if (secObj && secObj.admins && secObj.admins.roles) {
    for (var idx = 0; idx < userCtx.roles.length; idx++)
      if (secObj.admins.roles.indexOf(userCtx.roles[idx]) !== -1) return true;
  }
  return false;
}`;

const VALIDATIONS: Readonly<Record<string, string>> = {
  'admins alone write': `function (newDoc, oldDoc, userCtx, secObj) {
    ${IS_ADMIN}
    if (!is_server_or_database_admin(userCtx, secObj)) throw({ forbidden: 'Only admins may write.' });
  }`,
  'a name is needed': `function (newDoc, oldDoc, userCtx) {
    if (!userCtx.name) throw({ unauthorized: 'Please log in.' });
  }`,
  'authors change their own documents': `function (newDoc, oldDoc, userCtx) {
    if (newDoc.name && newDoc.name !== userCtx.name) throw({ forbidden: 'You may only write as yourself.' });
  }`,
  'server admins alone write': `function (newDoc, oldDoc, userCtx) {
    if (userCtx.roles.indexOf('_admin') === -1) throw({ forbidden: 'Only server admins may write.' });
  }`,
  'the example of _users': `function (newDoc, oldDoc, userCtx, secObj) {
    if (newDoc._deleted === true) {
      if (userCtx.roles.indexOf('_admin') !== -1 || userCtx.name == oldDoc.name) return;
      throw({ forbidden: 'Only admins may delete other user docs.' });
    }
    if (!newDoc.roles) throw({ forbidden: 'doc.roles must exist' });
    ${IS_ADMIN}
    if (!is_server_or_database_admin(userCtx, secObj)) {
      if (oldDoc) {
        if (userCtx.name !== newDoc.name) throw({ forbidden: 'You may only update your own user document.' });
        if (oldDoc.roles.join() !== newDoc.roles.join()) throw({ forbidden: 'Only _admin may edit roles' });
      } else if (newDoc.roles.length > 0) throw({ forbidden: 'Only _admin may set roles' });
    }
  }`,
};

/** Functions that are told who asks, but write nothing. */
const FUNCTIONS = {
  shows: {
    admin: `function (doc, req) { ${IS_ADMIN} return String(is_server_or_database_admin(req.userCtx, req.secObj)); }`,
  },
  lists: {
    admin: `function (head, req) { ${IS_ADMIN} send(String(is_server_or_database_admin(req.userCtx, req.secObj))); }`,
  },
  filters: {
    admin: `function (doc, req) { ${IS_ADMIN} return is_server_or_database_admin(req.userCtx, req.secObj); }`,
  },
  updates: {
    put: `function (doc, req) { return [{ _id: req.id, roles: [], through: 'update' }, 'written']; }`,
  },
  views: { all: { map: 'function (doc) { emit(null); }' } },
};

interface Step {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Every kind of write to a document, as `name`, then every other function that sees the caller. */
function stepsOf(name: string | undefined, rev: (id: string) => string): readonly (() => Step)[] {
  return [
    () => ({ method: 'PUT', path: '/plain', body: { roles: [] } }),
    () => ({ method: 'PUT', path: '/own', body: { name, roles: [] } }),
    () => ({ method: 'PUT', path: '/others', body: { name: 'somebody else', roles: ['boss'] } }),
    () => ({ method: 'PUT', path: '/seeded', body: { _rev: rev('seeded'), name: 'seed', roles: ['x'] } }),
    () => ({ method: 'POST', path: '', body: { _id: 'posted', roles: ['boss'] } }),
    () => ({ method: 'POST', path: '/_bulk_docs', body: { docs: [{ _id: 'bulk', roles: ['boss'] }] } }),
    () => ({ method: 'PUT', path: `/seeded-2/a?rev=${rev('seeded-2')}`, body: {} }),
    () => ({ method: 'COPY', path: '/seeded', headers: { Destination: 'copied' } }),
    () => ({ method: 'PUT', path: '/_design/functions/_update/put/updated', body: {} }),
    () => ({ method: 'DELETE', path: `/seeded-3?rev=${rev('seeded-3')}` }),
    () => ({ method: 'GET', path: '/_design/functions/_show/admin' }),
    () => ({ method: 'GET', path: '/_design/functions/_list/admin/all?limit=0' }),
    () => ({ method: 'GET', path: '/_changes?filter=functions/admin' }),
  ];
}

interface Lists {
  readonly members?: object;
  readonly admins?: object;
}

interface Case {
  /** Who asks Couchgate. */
  readonly who: string;
  /** Roles of the API key; undefined = a user. */
  readonly grants?: readonly string[];
  readonly as: 'key' | 'user' | 'owner' | 'nobody';
  /** The lists of CouchDB that give the user of the same rights its own; NAME stands for its name. */
  readonly lists: Lists;
  readonly roles?: readonly string[];
}

const NAME = 'NAME';
const CASES: readonly Case[] = [
  { who: 'a key with _admin', as: 'key', grants: ['_admin'], lists: { admins: { names: [NAME] } } },
  {
    who: 'a key with _admin and _writer',
    as: 'key',
    grants: ['_admin', '_writer'],
    lists: { admins: { names: [NAME] } },
  },
  {
    who: 'a key with _reader and _writer',
    as: 'key',
    grants: ['_reader', '_writer'],
    lists: { members: { names: [NAME] } },
  },
  { who: 'nobody', as: 'nobody', grants: ['_reader', '_writer'], lists: { members: {}, admins: {} } },
  { who: 'a user named in admins', as: 'user', lists: { admins: { names: [NAME] } } },
  {
    who: 'a user whose role is in admins',
    as: 'user',
    roles: ['boss'],
    lists: { admins: { roles: ['boss'] } },
  },
  { who: 'a user named in members', as: 'user', lists: { members: { names: [NAME] } } },
  {
    who: 'a user whose role is in members',
    as: 'user',
    roles: ['crew'],
    lists: { members: { roles: ['crew'] } },
  },
  { who: 'the owner', as: 'owner', lists: {} },
];

describe('validation functions of the manual', { skip: withoutCouchdb, timeout: 600_000 }, () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate();
  });
  after(() => gate.close());

  const direct = async (step: Step, path: string, as: Credentials | undefined) => {
    const answer = await fetch(`${gate.backend.urls[0] ?? ''}${path}`, {
      method: step.method,
      headers: {
        ...(as === undefined ? {} : { authorization: basic(as) }),
        'content-type': 'application/json',
        ...step.headers,
      },
      ...(step.body === undefined ? {} : { body: JSON.stringify(step.body) }),
    });
    return { status: answer.status, text: await answer.text() };
  };
  const through = async (step: Step, path: string, as: Credentials | undefined) => {
    const { status, body } = await gate.ask(step.method, path, {
      ...(as === undefined ? {} : { as }),
      body: step.body,
      ...(step.headers === undefined ? {} : { headers: step.headers }),
    });
    return { status, text: typeof body === 'string' ? body : JSON.stringify(body) };
  };

  async function fill(database: string, validation: string): Promise<ReadonlyMap<string, string>> {
    const revs = new Map<string, string>();
    for (const id of ['seeded', 'seeded-2', 'seeded-3']) {
      const step = { method: 'PUT', path: '', body: { name: 'seed', roles: ['x'] } };
      const { text } = await direct(step, `/${database}/${id}`, gate.owner);
      revs.set(id, (JSON.parse(text) as { readonly rev: string }).rev);
    }
    const designs = { functions: FUNCTIONS, validation: { validate_doc_update: validation } };
    for (const [id, body] of Object.entries(designs)) {
      const put = await direct({ method: 'PUT', path: '', body }, `/${database}/_design/${id}`, gate.owner);
      assert.equal(put.status, 201, put.text);
    }
    return revs;
  }

  /** The caller's credentials, and the lists with its name in them. */
  async function callerOf({ as, roles = [] }: Case): Promise<{ name?: string; password?: string }> {
    if (as === 'nobody') return {};
    if (as === 'owner') return gate.owner;
    if (as === 'key') return gate.key();
    const user = { name: `vdu-${randomBytes(4).toString('hex')}`, password: 'secret' };
    const step = { method: 'PUT', path: '', body: { ...user, type: 'user', roles } };
    assert.equal((await direct(step, `/_users/org.couchdb.user:${user.name}`, gate.owner)).status, 201);
    return user;
  }

  /** A user of CouchDB that has what the caller of Couchgate has. */
  async function equalOf(each: Case, caller: { name?: string; password?: string }) {
    return each.as === 'key' ? callerOf({ ...each, as: 'user' }) : caller;
  }

  const named = (lists: object, name = ''): Readonly<Record<string, unknown>> =>
    JSON.parse(JSON.stringify(lists).replaceAll(NAME, name)) as Readonly<Record<string, unknown>>;

  async function outcomes(
    send: typeof direct,
    database: string,
    caller: { name?: string; password?: string },
    revs: ReadonlyMap<string, string>,
    readsToo: boolean,
  ): Promise<readonly string[]> {
    const lines: string[] = [];
    const { name, password } = caller;
    const as = name === undefined || password === undefined ? undefined : { name, password };
    for (const make of stepsOf(name, (id) => revs.get(id) ?? '')) {
      const step = make();
      if (step.method === 'GET' && !readsToo) continue;
      const { status, text } = await send(step, `/${database}${step.path}`, as);
      const shown = step.method === 'GET' ? (idsIn(text) ?? text.trim()) : reasonIn(text);
      lines.push(`${step.method} ${step.path.replace(/rev=.*/u, 'rev')} ${status} ${shown}`);
    }
    return lines;
  }

  for (const each of CASES) {
    for (const [title, validation] of Object.entries(VALIDATIONS)) {
      it(`decide alike for ${each.who} and for its equal in CouchDB – ${title}`, async () => {
        const suffix = randomBytes(4).toString('hex');
        const [here, there] = [`vdu-here-${suffix}`, `vdu-there-${suffix}`];
        const caller = await callerOf(each);
        const equal = await equalOf(each, caller);
        await gate.database(here);
        const security =
          each.grants === undefined
            ? { couchdb_auth_only: true, ...named(each.lists, caller.name) }
            : { cloudant: { [caller.name ?? 'nobody']: each.grants } };
        const put = await gate.ask('PUT', `/${here}/_security`, { as: gate.owner, body: security });
        assert.equal(put.status, 200, JSON.stringify(put.body));
        await direct({ method: 'PUT', path: '' }, `/${there}`, gate.owner);
        const lists = {
          members: { roles: ['_admin'] },
          admins: { roles: ['_admin'] },
          ...named(each.lists, equal.name),
        };
        await direct({ method: 'PUT', path: '', body: lists }, `/${there}/_security`, gate.owner);
        // Only document writes of a holder of `_admin` carry the role that functions look for.
        const readsToo = each.grants?.includes('_admin') !== true;
        assert.deepEqual(
          await outcomes(through, here, caller, await fill(here, validation), readsToo),
          await outcomes(direct, there, equal, await fill(there, validation), readsToo),
        );
      });
    }
  }
});

/** What CouchDB said, without what differs from run to run. */
function reasonIn(text: string): string {
  const [, reason = ''] = /"reason":"([^"]*)"/u.exec(text) ?? [];
  return reason;
}

/** The ids of a feed. */
function idsIn(text: string): string | undefined {
  const ids = [...text.matchAll(/"id":"([^"]*)"/gu)].map(([, id = '']) => id);
  return text.includes('"results"') ? ids.sort().join(' ') : undefined;
}
