// H11: CouchDB guards some paths by their exact spelling and reaches others by a detour, so the detours need what the plain paths need.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { decide } from '../../src/authorize/decide.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { parseTarget } from '../../src/admit/target.ts';
import { roleSet, ROLES } from '../../src/permissions/role.ts';
import { CLOSED_OR_MISTAKEN, describeHostile, refuseAll, type Attack } from '../support/hostile.ts';
import { testSettings } from '../support/settings.ts';

const as = (caller: string, lines: readonly string[]): readonly Attack[] =>
  lines.map((line) => ({ line, as: caller }));

/** A tail takes these past CouchDB's own guard. */
const TAILS = [
  'POST /h11/_view_cleanup',
  'POST /h11/_view_cleanup/x',
  'POST /h11/_view_cleanup//x',
  'POST /h11/%5Fview_cleanup/%78',
  'POST /h11/_compact',
  'POST /h11/_compact/d',
  'POST /h11/_compact/d/x',
  'POST /h11/_search_cleanup/x',
  'POST /h11/_nouveau_cleanup',
  'POST /h11/_nouveau_cleanup/x',
  'PUT /h11/_revs_limit',
  'POST /h11/_purge',
  'PUT /h11/_purged_infos_limit',
  'GET /h11/_purged_infos',
  'DELETE /h11',
];
/** What CouchDB does not know, and what it might know one day. */
const UNKNOWN = [
  'GET /h11/_partition/p/_changes',
  'GET /h11/_partition/p/_security',
  'GET /h11/_partition/p/_design/d',
  'PUT /h11/_partition/p/_design/d',
  'GET /h11/_partition/p/doc',
  'GET /h11/_partition/p/_design%2Fd/_view/v',
  'GET /h11/_auto_purge',
  'PUT /h11/_auto_purge',
  'GET /h11/_time_seq',
  'DELETE /h11/_time_seq',
  'GET /h11/_something_new',
  'GET /_something_new',
];
/** Paths below a partition with the plain ones that they are routed to. */
const DETOURS: readonly (readonly [detour: string, plain: string])[] = [
  ['GET /h11/_partition/p/_all_docs', 'GET /h11/_all_docs'],
  ['POST /h11/_partition/p/_all_docs', 'POST /h11/_all_docs'],
  ['POST /h11/_partition/p/_all_docs/queries', 'POST /h11/_all_docs/queries'],
  ['POST /h11/_partition/p/_find', 'POST /h11/_find'],
  ['POST /h11/_partition/p/_explain', 'POST /h11/_explain'],
  ['GET /h11/_partition/p/_index', 'GET /h11/_index'],
  ['POST /h11/_partition/p/_index', 'POST /h11/_index'],
  ['POST /h11/_partition/p/_index/_bulk_delete', 'POST /h11/_index/_bulk_delete'],
  ['DELETE /h11/_partition/p/_index/d/json/n', 'DELETE /h11/_index/d/json/n'],
  ['GET /h11/_partition/p/_design/d/_view/v', 'GET /h11/_design/d/_view/v'],
  ['GET /h11/_partition/p/_design/d/_show/s/doc', 'GET /h11/_design/d/_show/s/doc'],
  ['GET /h11/_partition/p/_design/d/_list/l/v', 'GET /h11/_design/d/_list/l/v'],
  ['POST /h11/_partition/p/_design/d/_update/u/doc', 'POST /h11/_design/d/_update/u/doc'],
  ['GET /h11/_partition/p/_design/d/_search/i', 'GET /h11/_design/d/_search/i'],
  ['GET /h11/_partition/p/_design/d/_info', 'GET /h11/_design/d/_info'],
  ['GET /h11/_partition/p/_design/d/_rewrite/x', 'GET /h11/_design/d/_rewrite/x'],
  ['POST /h11/_changes/x', 'POST /h11/_changes'],
  ['POST /h11/_find/x', 'POST /h11/_find'],
  ['POST /h11/_explain/x', 'POST /h11/_explain'],
];

describeHostile('H11: weak guards', { databases: ['h11'] }, (gate) => {
  for (const caller of ['reader+writer', 'design+writer', 'replicator', 'security']) {
    refuseAll(gate, 403, as(caller, TAILS));
  }
  refuseAll(
    gate,
    401,
    TAILS.map((line) => ({ line })),
  );
  refuseAll(gate, CLOSED_OR_MISTAKEN, as('owner', UNKNOWN));
  refuseAll(gate, CLOSED_OR_MISTAKEN, as('admin', UNKNOWN));
  refuseAll(gate, 403, as('user', UNKNOWN));

  const classify = createClassify(testSettings());
  const decisionOf = (line: string, held: number): string => {
    const [method = '', target = ''] = line.split(' ');
    const operation = classify(method, parseTarget(target, { maxUrlBytes: 4096 }), undefined);
    const permissions = {
      database: 'h11',
      grants: new Map([['k', held]]),
      couchdbAuthOnly: false,
      marked: true,
    };
    const decision = decide({ kind: 'key', name: 'k' }, operation, permissions, undefined);
    return decision.allow ? `${decision.privilege} ${decision.endpoint.pool}` : decision.reason;
  };
  for (const [detour, plain] of DETOURS) {
    it(`needs for ${detour} what ${plain} needs – every set of roles`, () => {
      for (let held = 0; held < 1 << ROLES.length; held++) {
        assert.equal(decisionOf(detour, held), decisionOf(plain, held), `roles ${held}`);
      }
    });
  }

  it('lets a database admin through as dbadmin – POST /h11/_compact as _admin – never as server admin', async () => {
    const answer = await gate.send({
      line: 'POST /h11/_compact',
      as: 'admin',
      headers: ['Content-Type: application/json'],
      body: '{}',
    });
    assert.ok(answer.status < 300, answer.body);
    const roles = answer.reached[0]?.claims?.roles ?? [];
    assert.ok(roles.some((role) => role.endsWith('-dbadmin')) && !roles.includes('_admin'), String(roles));
  });

  it('knows every role by its own name', () => assert.equal(roleSet(ROLES), (1 << ROLES.length) - 1));
});
