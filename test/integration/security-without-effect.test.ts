// Parts of a security object that have no effect: the answer and the log say so, or the request is refused.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';

const MESSAGE = 'security object has parts without effect';
const ONLY_OWNER = 'Only the owner has access to this database: `cloudant` grants no roles.';
const noEffect = (field: string): string =>
  `\`${field}\` has no effect: roles in \`cloudant\` decide, unless \`couchdb_auth_only\` is true.`;
const ANN = { names: ['ann'], roles: [] };
const CREW = { names: [], roles: ['crew'] };
const DEFAULT = { roles: ['_admin'] };

const ROWS: readonly (readonly [what: string, body: object, warnings: readonly string[]])[] = [
  ['members', { members: ANN }, [noEffect('members'), ONLY_OWNER]],
  ['members by role', { members: CREW }, [noEffect('members'), ONLY_OWNER]],
  ['both lists', { members: ANN, admins: CREW }, [noEffect('members'), noEffect('admins'), ONLY_OWNER]],
  ['empty members, which CouchDB takes for public', { members: { names: [], roles: [] } }, [ONLY_OWNER]],
  ['admins beside grants', { cloudant: { nobody: ['_reader'] }, admins: ANN }, [noEffect('admins')]],
  ['members left to CouchDB', { members: ANN, couchdb_auth_only: true }, []],
  ['grants', { cloudant: { nobody: ['_reader'] } }, []],
  ['CouchDB’s default', { cloudant: {}, members: DEFAULT, admins: DEFAULT }, []],
  ['nothing', {}, []],
];

describe('A security object', () => {
  let gate: Couchgate;
  let key: Credentials;
  before(async () => {
    gate = await startCouchgate();
    key = await gate.key();
    await gate.database('warned');
  });
  after(() => gate.close());

  for (const [what, body, warnings] of ROWS) {
    const title = warnings.length === 0 ? 'has no warnings' : 'is answered with warnings, and logged';
    it(`${title} – PUT /warned/_security – ${what}`, async () => {
      for (const path of ['/warned/_security', '/_api/v2/db/warned/_security']) {
        const before = gate.log.lines.length;
        const answer = await gate.ask('PUT', path, { as: gate.owner, body });
        const { revision, ...rest } = answer.body as Record<string, unknown>;
        assert.equal(typeof revision, 'number');
        assert.deepEqual(
          [answer.status, rest],
          [200, { ok: true, ...(warnings.length === 0 ? {} : { warnings }) }],
        );
        assert.deepEqual(
          gate.log.lines.slice(before).filter(({ message }) => message === MESSAGE),
          warnings.length === 0
            ? []
            : [{ level: 'warn', fields: { database: 'warned', warnings }, message: MESSAGE }],
        );
      }
    });
  }

  for (const database of ['_users', 'warned%2F_users', 'warned%2F_replicator']) {
    it(`is refused where grants have no effect – PUT /${database}/_security – 400`, async () => {
      gate.recorder.take();
      const body = { cloudant: { [key.name]: ['_reader'] } };
      const answer = await gate.ask('PUT', `/${database}/_security`, { as: gate.owner, body });
      assert.equal(answer.status, 400);
      assert.match(JSON.stringify(answer.body), /Grants have no effect on this database/u);
      assert.equal((await gate.ask('PUT', `/${database}/_security`, { as: key, body })).status, 403);
      const put = gate.recorder.take().filter(({ method }) => method === 'PUT');
      assert.deepEqual(put, []);
    });
  }
});
