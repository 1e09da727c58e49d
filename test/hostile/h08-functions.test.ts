// H8: show, list and update functions run for any verb and hand out what they like, so verbs and roles are chosen by what a function could read.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Admin } from '../../src/setup/admin.ts';
import { describeHostile, refuseAll, type Attack } from '../support/hostile.ts';

const PLACES = ['/h08/_design/d', '/h08/_partition/p/_design/d', '/h08/%5Fdesign/d', '/h08/_design%2Fd'];
const READS = ['/_show/s', '/_show/s/doc', '/_list/l/v', '/_list/l/d/v', '/%5Fshow/s/doc'];
const UPDATES = ['/_update/u', '/_update/u/doc', '/%5Fupdate/u/doc'];

function attacks(as: string, methods: readonly string[], functions: readonly string[]): readonly Attack[] {
  return PLACES.flatMap((place) =>
    functions.flatMap((path) =>
      methods.map((method) => ({
        line: `${method} ${place}${path}`,
        as,
        ...(method === 'COPY' ? { headers: ['Destination: copy'] } : {}),
      })),
    ),
  );
}

/** An update function that hands out the document, and a show function that hands out its request. */
async function fill(couchdb: Admin): Promise<void> {
  await couchdb.ask('PUT', '/h08/doc', { secret: 'canary' });
  await couchdb.ask('PUT', '/h08/_design/d', {
    updates: { u: 'function (doc, req) { return [null, JSON.stringify(doc)] }' },
    shows: {
      s: `function (doc, req) {
        return { headers: { 'Set-Cookie': 'AuthSession=evil', 'X-Evil': '1' }, body: JSON.stringify(req.headers) };
      }`,
    },
  });
}

describeHostile('H8: functions of design documents', { databases: ['h08'], prepare: fill }, (gate) => {
  refuseAll(gate, 405, attacks('reader+writer', ['PUT', 'DELETE', 'COPY', 'PATCH'], READS));
  refuseAll(gate, 405, attacks('reader+writer', ['GET', 'DELETE', 'COPY', 'PATCH'], UPDATES));
  refuseAll(gate, 403, attacks('writer', ['GET', 'POST'], READS));
  refuseAll(
    gate,
    403,
    attacks('writer', ['PUT', 'POST'], ['/_update/u/doc', '/_update/u/a/b', '/_update/u/_design/d']),
  );
  refuseAll(gate, 403, attacks('reader', ['PUT', 'POST'], UPDATES));
  refuseAll(gate, 403, attacks('design+writer', ['PUT', 'POST'], ['/_update/u/doc']));
  refuseAll(gate, 403, attacks('user', ['PUT', 'DELETE', 'COPY', 'PATCH'], [...READS, ...UPDATES]));
  refuseAll(gate, 405, attacks('owner', ['PUT', 'DELETE'], READS));

  for (const path of [...READS, ...UPDATES]) {
    it(`runs nothing for OPTIONS /h08/_design/d${path} – CouchDB is not called`, async () => {
      const { reached } = await gate.send({ line: `OPTIONS /h08/_design/d${path}`, as: 'owner' });
      assert.deepEqual(reached, []);
    });
  }

  it('lets a _writer alone call an update function without a document – POST …/_update/u – as member', async () => {
    const { reached } = await gate.send({ line: 'POST /h08/_design/d/_update/u', as: 'writer', body: 'x' });
    assert.equal(reached.length, 1);
  });

  it('shows the function no credential, and takes no cookie from it – GET …/_show/s/doc', async () => {
    const headers = ['Cookie: AuthSession=mine', 'Authorization: Basic YTpi', 'X-Secret: canary'];
    const answer = await gate.send({ line: 'GET /h08/_design/d/_show/s/doc', as: 'reader', headers });
    assert.equal(answer.reached.length, 1);
    assert.doesNotMatch(answer.head, /set-cookie|x-evil/i);
    if (gate.couchdb !== undefined) {
      assert.equal(answer.status, 200);
      assert.doesNotMatch(answer.body, /bearer|cookie|canary/i);
    }
  });
});
