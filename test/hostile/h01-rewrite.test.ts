// H1: a rewrite function may set request headers and leave its database, so `_rewrite` is closed to everybody in every spelling.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeHostile, refuseAll, type Attack } from '../support/hostile.ts';

/** As the hazard was shown: the function chooses method, path and headers of a request that CouchDB then runs. */
const ESCAPE = `function (req) {
  return { method: req.query.m || 'GET', path: req.query.p, headers: { 'X-Auth-CouchDB-Roles': '_admin' } };
}`;

const PATHS = [
  '/h01/_design/esc/_rewrite',
  '/h01/_design/esc/_rewrite/x?p=../../../_all_dbs',
  '/h01/_design/esc/_rewrite/x?m=PUT&p=../../../h01-pwn',
  '/h01/_design/esc/%5Frewrite/x?p=../../../_all_dbs',
  '/h01/_design/esc/%5f%72ewrite/x?p=../../../_all_dbs',
  '//h01//_design//esc//_rewrite//x?p=../../../_all_dbs',
  '/h01/%5Fdesign/esc/_rewrite/x?p=../../../_all_dbs',
  '/h01/_design%2Fesc/_rewrite/x?p=../../../_all_dbs',
  '/h01/%5fdesign%2fesc/%5frewrite/x?p=../../../_all_dbs',
  '/%6801/_design/esc/_rewrite/x?p=../../../_all_dbs',
  '/h01/_partition/p/_design/esc/_rewrite/x?p=../../../_all_dbs',
  '/h01/%5Fpartition/p/_design/esc/%5Frewrite/x',
  '/_users/_design/esc/_rewrite/x',
  '/_replicator/_design/esc/_rewrite/x',
  '/x%2F_users/_design/esc/_rewrite/x',
];
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'PATCH'];
const everyWay = (as: string | undefined): readonly Attack[] =>
  PATHS.flatMap((path) =>
    METHODS.filter((method) => method !== 'HEAD').map((method) => ({
      line: `${method} ${path}`,
      ...(as === undefined ? {} : { as }),
      ...(method === 'COPY' ? { headers: ['Destination: copy'] } : {}),
    })),
  );

describeHostile(
  'H1: _rewrite',
  {
    databases: ['h01'],
    async prepare(couchdb) {
      await couchdb.ask('PUT', '/h01/_design/esc', { rewrites: ESCAPE });
    },
  },
  (gate) => {
    refuseAll(gate, 403, everyWay('reader+writer+design'));
    refuseAll(gate, 403, everyWay('admin').slice(0, 30));
    refuseAll(gate, 403, everyWay('owner'));
    refuseAll(gate, 401, everyWay(undefined).slice(0, 30));

    it('refuses a HEAD without a body – HEAD /h01/_design/esc/_rewrite/x – 403', async () => {
      const answer = await gate.send({ line: 'HEAD /h01/_design/esc/_rewrite/x', as: 'owner' });
      assert.deepEqual([answer.status, answer.body, answer.reached], [403, '', []]);
    });

    it('answers OPTIONS itself – OPTIONS /h01/_design/esc/_rewrite/x – CouchDB is not called', async () => {
      const answer = await gate.send({ line: 'OPTIONS /h01/_design/esc/_rewrite/x', as: 'owner' });
      assert.deepEqual(answer.reached, []);
    });

    it('leaves no database behind that an escape would have made', async () => {
      const { couchdb } = gate;
      if (couchdb === undefined) return;
      assert.equal((await couchdb.ask('GET', '/h01-pwn')).status, 404);
    });

    it('goes on serving the design document itself – GET /h01/_design/esc – 200', async () => {
      const answer = await gate.send({ line: 'GET /h01/_design/esc', as: 'reader' });
      assert.equal(answer.status, 200);
      assert.deepEqual(
        answer.reached.map(({ url }) => url),
        ['/h01/_design/esc'],
      );
    });
  },
);
