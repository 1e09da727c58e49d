// The rules of a decision that the matrix does not show: wording, databases that are missing, unmarked or left to CouchDB, names and ids.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDestination } from '../../src/admit/destination.ts';
import { parseTarget } from '../../src/admit/target.ts';
import { decide, mustInspect } from '../../src/authorize/decide.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { type Decision } from '../../src/context.ts';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { runsFunctions, runsValidation, runsWithRequest } from '../../src/catalogue/functions.ts';
import { DESIGN, INTERNAL, LOCAL, ORDINARY, RESERVED } from '../../src/catalogue/document-id.ts';
import { type Operation } from '../../src/catalogue/operation.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { ROLES, roleSet, type Role } from '../../src/permissions/role.ts';
import { testSettings } from '../support/settings.ts';

const classify = createClassify(testSettings());
const OWNER: Principal = { kind: 'owner', name: 'admin', roles: ['_admin'] };
const KEY: Principal = { kind: 'key', name: 'key' };

function operationOf(line: string): Operation {
  const [method = '', raw = '', destination] = line.split(' ');
  const target = parseTarget(raw, { maxUrlBytes: 4096 });
  return classify(method, target, destination === undefined ? undefined : parseDestination(destination));
}

function holding(roles: readonly Role[], over: Partial<DatabasePermissions> = {}): DatabasePermissions {
  const grants = new Map([['key', roleSet(roles)]]);
  return { database: 'db', grants, couchdbAuthOnly: false, marked: true, ...over };
}

/** `allow <row> <privilege> <identity>` or `<status> <reason>`. */
function told(decision: Decision): string {
  return decision.allow
    ? `allow ${decision.endpoint.id} ${decision.privilege} ${decision.identity}`
    : `${decision.status} ${decision.reason}`;
}

const ask = (line: string, principal: Principal, permissions?: DatabasePermissions, ids?: number): string =>
  told(decide(principal, operationOf(line), permissions, ids));

describe('the words of a refusal', () => {
  const REASONS: readonly (readonly [line: string, held: readonly Role[], reason: string])[] = [
    ['GET /db/doc', [], 'one of _reader, _replicator is required for this request'],
    ['GET /db/_all_docs', ['_writer'], '_reader access is required for this request'],
    ['PUT /db/doc', ['_reader'], '_writer access is required for this request'],
    ['POST /db/_find', ['_writer'], 'one of _design, _reader is required for this request'],
    ['PUT /db/_design/x', ['_writer'], '_design access is required for this request'],
    ['PUT /db/_revs_limit', ['_design'], '_admin access is required for this request'],
    ['GET /_membership', ['_admin'], 'server_admin access is required for this request'],
    [
      'PUT /db',
      ['_admin'],
      'server_admin access is required for this request, or a prefix grant with `create` for this name',
    ],
    ['POST /db', ['_reader'], '_writer access is required for this request'],
    ['POST /db/_bulk_docs', ['_reader'], '_writer access is required for this request'],
    ['PUT /db/_design/d/_update/f/x', [], '_reader+_writer access is required for this request'],
    ['PUT /db/_design/d/_update/f/x', ['_writer'], '_reader access is required for this request'],
    ['PUT /db/_design/d/_update/f/x', ['_reader'], '_writer access is required for this request'],
    ['COPY /db/a b', [], 'one of _reader+_writer, _replicator+_writer is required for this request'],
    ['COPY /db/a b', ['_writer'], 'one of _reader, _replicator is required for this request'],
    ['COPY /db/a b', ['_reader'], '_writer access is required for this request'],
    ['COPY /db/a _design/b', ['_reader'], '_design access is required for this request'],
    ['GET /db/_design/d/_rewrite', ['_admin'], 'This endpoint is closed for everybody.'],
  ];
  for (const [line, held, reason] of REASONS) {
    it(`${line} – holding ${held.join(', ') || 'nothing'} – ${reason}`, () => {
      assert.equal(ask(line, KEY, holding(held)), `403 ${reason}`);
    });
  }

  it('is 401 with the same reason for callers without credentials', () => {
    assert.equal(
      ask('GET /db/_all_docs', NOBODY, holding([])),
      '401 _reader access is required for this request',
    );
    assert.equal(ask('POST /_search_analyze', NOBODY), '401 Authentication required.');
  });

  it('tells the owner of closed endpoints what CouchDB would say', () => {
    assert.equal(ask('GET /_config', OWNER), '404 Database does not exist.');
    assert.equal(ask('GET /db/_config', OWNER, holding([])), '404 missing');
    assert.equal(ask('DELETE /db/_all_docs', OWNER, holding([])), '405 GET,HEAD,POST');
    assert.equal(ask('DELETE /db/_all_docs', OWNER), '404 Database does not exist.');
    assert.equal(ask('GET /_node/_local/_config', OWNER), '403 This endpoint is closed for everybody.');
    assert.match(ask('PUT /Ep-A', OWNER), /^400 Name: 'Ep-A'\. Only lowercase characters/);
    assert.equal(ask('GET /Ep-A', OWNER), '404 Database does not exist.');
    assert.equal(
      ask('PUT /db/_local/x/att', OWNER, holding([])),
      '400 _local documents do not accept attachments.',
    );
  });

  const MISTAKES: readonly (readonly [line: string, held: readonly Role[], answer: string])[] = [
    ['HEAD /db/_bulk_get', ['_reader'], '405 POST'],
    ['PATCH /db', ['_shards'], '405 DELETE,GET,HEAD,POST'],
    ['GET /db/_nope', ['_reader'], '404 missing'],
    ['PUT /db/_nope', ['_reader'], '400 Only reserved document ids may start with underscore.'],
    ['COPY /db/a _nope', ['_reader'], '400 Only reserved document ids may start with underscore.'],
    ['GET /db/_compact', ['_reader'], '403 _admin access is required for this request'],
    ['GET /db/_compact', ['_admin'], '405 POST'],
    ['GET /db/_design/d/_rewrite', ['_admin'], '403 This endpoint is closed for everybody.'],
    ['HEAD /db/_bulk_get', [], '403 This endpoint is closed for everybody.'],
    ['GET /db/_nope', [], '403 This endpoint is closed for everybody.'],
  ];
  for (const [line, held, answer] of MISTAKES) {
    it(`${line} – holding ${held.join(', ') || 'nothing'} – ${answer}`, () => {
      assert.equal(ask(line, KEY, holding(held)), answer);
    });
  }

  it('says what is wrong to every caller with a name where CouchDB decides, and to nobody', () => {
    const open = holding([], { couchdbAuthOnly: true, marked: false });
    assert.equal(ask('HEAD /db/_bulk_get', KEY, open), '405 POST');
    assert.equal(ask('HEAD /db/_bulk_get', NOBODY, open), '401 This endpoint is closed for everybody.');
    const granted = holding([], { grants: new Map([['nobody', roleSet(['_reader'])]]) });
    assert.equal(ask('HEAD /db/_bulk_get', NOBODY, granted), '401 This endpoint is closed for everybody.');
    assert.equal(ask('HEAD /db/_bulk_get', KEY), '404 Database does not exist.');
  });
});

describe('a database that does not exist', () => {
  const TABLE: readonly (readonly [line: string, principal: Principal, answer: string])[] = [
    ['GET /db/doc', OWNER, 'allow doc-get server_admin marker'],
    ['GET /db/doc', KEY, '404 Database does not exist.'],
    ['GET /db/doc', NOBODY, '401 one of _reader, _replicator is required for this request'],
    ['POST /db/_bulk_docs', KEY, '404 Database does not exist.'],
    [
      'PUT /db',
      KEY,
      '403 server_admin access is required for this request, or a prefix grant with `create` for this name',
    ],
    ['GET /_db_updates', KEY, '403 _db_updates access is required for this request'],
    ['POST /_replicate', KEY, '403 _replicator access is required for this request'],
  ];
  for (const [line, principal, answer] of TABLE) {
    it(`${line} as ${principal.kind} – ${answer}`, () =>
      assert.equal(ask(line, principal, undefined), answer));
  }
});

describe('validation functions of the database', () => {
  const EVERY_SET = Array.from({ length: 2 ** ROLES.length }, (_, mask) => mask);
  const ADMIN = roleSet(['_admin']);
  const askWith = (operation: Operation, held: number, ids?: number): Decision =>
    decide(KEY, operation, { ...holding([]), grants: new Map([['key', held]]) }, ids);

  it('take a holder of _admin for an admin, and nobody else: both markers for its document writes alone', () => {
    const ordinary = ENDPOINTS.filter(
      ({ privilege, permit }) => privilege === 'member' && permit.kind === 'roles',
    );
    assert.ok(ordinary.length > 40, `${ordinary.length} > 40`);
    for (const endpoint of ordinary) {
      const { id, action, choice, path } = endpoint;
      const isLocal = choice?.ids === LOCAL || (choice === undefined && path.startsWith('/{db}/_local/'));
      const writesDocument = action === 'write' && !isLocal && id !== 'ensure-full-commit';
      const operation = { endpoint, alternatives: [], decidedByBody: undefined, documentId: undefined };
      for (const held of EVERY_SET) {
        const decision = askWith({ ...operation, database: 'db' }, held);
        if (!decision.allow) continue;
        const isAdmin = writesDocument && (held & ADMIN) !== 0;
        assert.equal(decision.privilege, isAdmin ? 'dbadmin' : 'member', `${id} with ${held}`);
      }
    }
  });

  it('see the roles of the caller of every write and feed, and of each function of a design document', () => {
    for (const endpoint of ENDPOINTS) {
      const { id, action } = endpoint;
      const isWrite = action === 'write' || id === 'bulk-docs-design-holder' || runsValidation(endpoint);
      const runs = isWrite || action === 'feed' || runsWithRequest(endpoint);
      assert.equal(runsFunctions(endpoint), runs, id);
    }
  });

  it('get one marker in system databases – PUT /_replicator/_design/d/_update/f/doc', () => {
    const operation = operationOf('PUT /db/_design/d/_update/f/doc');
    for (const database of ['_replicator', '_users', '_global_changes', 'x/_replicator']) {
      const decision = askWith({ ...operation, database }, ADMIN);
      assert.equal(decision.allow && decision.privilege, 'member', database);
    }
  });

  it('meet no body of a holder of _admin that was not read (H10) – POST /db, POST /db/_bulk_docs', () => {
    for (const line of ['POST /db', 'POST /db/_bulk_docs']) {
      const operation = operationOf(line);
      for (const others of EVERY_SET) {
        const held = others | ADMIN;
        assert.equal(mustInspect(KEY, operation, askWith(operation, held)), true, line);
        const refused = askWith(operation, held, ORDINARY | INTERNAL);
        assert.equal(refused.allow, false, line);
      }
    }
  });
});

describe('a database older than Couchgate', () => {
  const unmarked = holding([], { marked: false });
  it('opens to the owner, whom CouchDB then has to know as server admin', () => {
    assert.equal(ask('GET /db/doc', OWNER, unmarked), 'allow doc-get server_admin marker');
    assert.equal(ask('PUT /db/_design/x', OWNER, unmarked), 'allow ddoc-put server_admin marker');
    assert.equal(ask('GET /db/doc', OWNER, holding([])), 'allow doc-get member marker');
    assert.equal(ask('PUT /db/doc', OWNER, holding([])), 'allow doc-put server_admin marker');
  });
  it('stays closed to everybody else', () => {
    assert.match(ask('GET /db/doc', KEY, unmarked), /^403 /);
    assert.match(ask('GET /db/doc', NOBODY, unmarked), /^401 /);
  });
});

describe('couchdb_auth_only', () => {
  const own = (roles: readonly Role[]): DatabasePermissions =>
    holding(roles, { couchdbAuthOnly: true, marked: false });
  const TABLE: readonly (readonly [
    line: string,
    principal: Principal,
    roles: readonly Role[],
    answer: string,
  ])[] = [
    ['GET /db/doc', KEY, [], 'allow doc-get member own'],
    ['GET /db/doc', NOBODY, [], 'allow doc-get member own'],
    ['PUT /db/_design/x', KEY, [], 'allow ddoc-put dbadmin own'],
    ['POST /db/_bulk_docs', KEY, [], 'allow bulk-docs member own'],
    ['GET /db/_security', KEY, [], '403 _security access is required for this request'],
    ['GET /db/_security', KEY, ['_security'], 'allow security-get member marker'],
    ['PUT /db/_security', KEY, ['_admin'], 'allow security-put dbadmin marker'],
    ['PUT /db/_security', NOBODY, [], '401 _security access is required for this request'],
    ['PUT /_api/v2/db/db/_security', KEY, ['_reader'], '403 _security access is required for this request'],
    ['POST /db/_purge', KEY, ['_admin'], '403 server_admin access is required for this request'],
    ['DELETE /db', KEY, ['_admin'], '403 server_admin access is required for this request'],
    ['POST /db/_sync_shards', KEY, [], '403 server_admin access is required for this request'],
    ['GET /db/_design/d/_rewrite', KEY, [], '403 This endpoint is closed for everybody.'],
    ['GET /db/_design/d/_rewrite', OWNER, [], '403 This endpoint is closed for everybody.'],
    ['GET /db/doc', OWNER, [], 'allow doc-get server_admin marker'],
    ['POST /db/_purge', OWNER, [], 'allow purge server_admin marker'],
  ];
  for (const [line, principal, roles, answer] of TABLE) {
    it(`${line} as ${principal.kind} holding ${roles.join(', ') || 'nothing'} – ${answer}`, () => {
      assert.equal(ask(line, principal, own(roles)), answer);
    });
  }

  it('still keeps the checkpoints of CouchDB from everybody – POST /db with _local/purge-x', () => {
    const operation = operationOf('POST /db');
    assert.equal(mustInspect(KEY, operation, decide(KEY, operation, own([]), undefined)), true);
    assert.equal(ask('POST /db', KEY, own([]), INTERNAL), '403 This endpoint is closed for everybody.');
    assert.equal(ask('POST /db', KEY, own([]), DESIGN), 'allow db-post-design dbadmin own');
  });
});

describe('names and grants', () => {
  it('takes the entry `nobody` for the unauthenticated alone – GET /db/doc', () => {
    const permissions = holding([], { grants: new Map([['nobody', roleSet(['_reader'])]]) });
    assert.equal(ask('GET /db/doc', NOBODY, permissions), 'allow doc-get member marker');
    assert.match(ask('GET /db/doc', KEY, permissions), /^403 /);
    assert.match(ask('GET /db/doc', { kind: 'user', name: 'nobody', roles: [] }, permissions), /^403 /);
  });

  it('knows a user and a key of the same grants alike', () => {
    const user: Principal = { kind: 'user', name: 'key', roles: ['staff'] };
    assert.equal(ask('GET /db/doc', user, holding(['_reader'])), 'allow doc-get member marker');
  });

  it('carries the roles that are held to validate_doc_update', () => {
    const decision = decide(KEY, operationOf('PUT /db/doc'), holding(['_writer', '_reader']), undefined);
    assert.equal(decision.allow, true);
    assert.equal(decision.roles, roleSet(['_reader', '_writer']));
  });
});

describe('the ids in a body', () => {
  const TABLE: readonly (readonly [line: string, roles: readonly Role[], ids: number, answer: string])[] = [
    ['POST /db', ['_writer'], ORDINARY, 'allow db-post-doc member marker'],
    ['POST /db', ['_writer'], RESERVED, 'allow db-post-doc member marker'],
    ['POST /db', ['_writer'], DESIGN, '403 _design access is required for this request'],
    ['POST /db', ['_design'], ORDINARY, '403 _writer access is required for this request'],
    ['POST /db', ['_admin'], INTERNAL, '403 This endpoint is closed for everybody.'],
    ['POST /db/_bulk_docs', ['_design'], 0, 'allow bulk-docs-design-only dbadmin marker'],
    [
      'POST /db/_bulk_docs',
      ['_design'],
      DESIGN | LOCAL,
      '403 one of _replicator, _writer is required for this request',
    ],
    [
      'POST /db/_bulk_docs',
      ['_design'],
      DESIGN | ORDINARY,
      '403 _writer access is required for this request',
    ],
    ['POST /db/_bulk_docs', ['_replicator'], 0, 'allow bulk-docs-local-only member marker'],
    [
      'POST /db/_bulk_docs',
      ['_replicator'],
      LOCAL | DESIGN,
      '403 _design access is required for this request',
    ],
    ['POST /db/_bulk_docs', ['_replicator'], RESERVED, '403 _writer access is required for this request'],
    ['POST /db/_bulk_docs', ['_replicator', '_design'], LOCAL, 'allow bulk-docs-local-only member marker'],
    ['POST /db/_bulk_docs', ['_writer', '_design'], ORDINARY, 'allow bulk-docs member marker'],
    [
      'POST /db/_bulk_docs',
      ['_writer', '_design'],
      DESIGN | LOCAL | ORDINARY,
      'allow bulk-docs-design-holder dbadmin marker',
    ],
    ['POST /db/_bulk_docs', ['_admin'], ORDINARY | INTERNAL, '403 This endpoint is closed for everybody.'],
  ];
  for (const [line, roles, ids, answer] of TABLE) {
    it(`${line} holding ${roles.join(', ')} with ids of kinds ${ids} – ${answer}`, () => {
      assert.equal(ask(line, KEY, holding(roles), ids), answer);
    });
  }

  const INSPECTED: readonly (readonly [
    line: string,
    principal: Principal,
    roles: readonly Role[],
    read: boolean,
  ])[] = [
    ['POST /db', KEY, ['_writer'], true],
    ['POST /db', KEY, ['_replicator'], true],
    ['POST /db', KEY, ['_reader'], false],
    ['POST /db', OWNER, [], true],
    ['POST /db/_bulk_docs', KEY, ['_writer'], false],
    ['POST /db/_bulk_docs', KEY, ['_writer', '_replicator'], false],
    ['POST /db/_bulk_docs', KEY, ['_writer', '_design'], true],
    ['POST /db/_bulk_docs', KEY, ['_design'], true],
    ['POST /db/_bulk_docs', KEY, ['_replicator'], true],
    ['POST /db/_bulk_docs', KEY, ['_admin'], true],
    ['POST /db/_bulk_docs', OWNER, [], true],
    ['PUT /db/doc', KEY, ['_writer'], false],
    ['POST /db/_find', KEY, ['_reader'], false],
  ];
  for (const [line, principal, roles, read] of INSPECTED) {
    it(`${read ? 'are read' : 'are not read'} – ${line} as ${principal.kind} holding ${roles.join(', ')}`, () => {
      const operation = operationOf(line);
      assert.equal(
        mustInspect(principal, operation, decide(principal, operation, holding(roles), undefined)),
        read,
      );
    });
  }
});
