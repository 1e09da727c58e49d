// H5: were one role a member of all databases, any confusion of paths would cross them; so each database has markers of its own.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { markersOf } from '../../src/permissions/marker.ts';
import { describeHostile } from '../support/hostile.ts';

describeHostile('H5: markers', { databases: ['h05', 'h05-b', 'h05/b'] }, (gate) => {
  for (const [line, as] of [
    ['GET /h05', 'reader'],
    ['PUT /h05/doc', 'writer'],
    ['PUT /h05/_design/d', 'design'],
    ['GET /h05', 'owner'],
  ] as const) {
    it(`sends the marker of the one database that was judged – ${line} as ${as}`, async () => {
      const { reached } = await gate.send({ line, as, body: line.startsWith('PUT') ? '{}' : '' });
      const markers = (reached[0]?.claims?.roles ?? []).filter((role) => role.startsWith('couchgate-'));
      const { member, dbadmin } = markersOf('h05');
      assert.deepEqual(markers, as === 'design' ? [member, dbadmin] : [member]);
    });
  }

  it('opens no other database by it – the token of GET /h05, sent to CouchDB for /h05-b – 403', async () => {
    const { reached, status } = await gate.send({ line: 'GET /h05', as: 'reader' });
    assert.equal(status, 200);
    const { couchdb } = gate;
    if (couchdb === undefined) return;
    const headers = { Authorization: reached[0]?.headers.authorization ?? '' };
    assert.equal((await couchdb.ask('GET', '/h05', undefined, headers)).status, 200);
    for (const other of ['/h05-b', '/h05%2Fb', '/h05-b/_all_docs', '/_users/_all_docs', '/_all_dbs']) {
      const refused = await couchdb.ask('GET', other, undefined, headers);
      assert.ok([401, 403].includes(refused.status), `${other}: ${refused.status}`);
    }
  });
});
