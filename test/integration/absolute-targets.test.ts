// Targets in absolute form (RFC 9112 section 3.2.2): read as the path that they name, if they name this server.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { assertRefused, describeHostile } from '../support/hostile.ts';

const setup = { publicUrl: 'https://Public.example' };

describeHostile('A target in absolute form', { databases: ['absolute'], setup }, (gate) => {
  for (const [host, target, sent] of [
    ['couchgate.example', 'http://couchgate.example/absolute', '/absolute'],
    ['couchgate.example', 'http://couchgate.example//absolute//?limit=1', '/absolute?limit=1'],
    ['couchgate.example', 'HTTP://CouchGate.Example/absolute', '/absolute'],
    ['couchgate.example', 'https://couchgate.example/%61bsolute', '/absolute'],
    ['couchgate.example:80', 'http://couchgate.example/absolute', '/absolute'],
    ['couchgate.example', 'http://couchgate.example:80/absolute', '/absolute'],
    ['couchgate.example:443', 'https://couchgate.example:443/absolute', '/absolute'],
    ['couchgate.example:5984', 'http://couchgate.example:5984/absolute/x%2Fy', '/absolute/x%2Fy'],
    ['[::1]:5984', 'http://[::1]:5984/absolute', '/absolute'],
    ['internal', 'http://public.example/absolute', '/absolute'],
    ['internal', 'https://PUBLIC.example:443/absolute', '/absolute'],
    ['couchgate.example', 'http://couchgate.example/absolute/../x', '/absolute/%2E%2E/x'],
    ['couchgate.example', 'http://couchgate.example', '/'],
    ['couchgate.example', 'http://couchgate.example?x=1', '/?x=1'],
    ['couchgate.example', 'http://couchgate.example/absolute?u=http://a@b/', '/absolute?u=http://a@b/'],
  ] as const) {
    it(`is read as ${sent} – GET ${target} – Host: ${host}`, async () => {
      const { reached, status } = await gate.send({
        line: `GET ${target}`,
        as: 'reader',
        headers: [`Host: ${host}`],
      });
      assert.deepEqual(
        reached.map(({ url }) => url),
        [sent],
      );
      assert.notEqual(status, 400);
      // CouchDB sees its own address, never one of the client's.
      assert.equal(reached[0]?.headers.host?.startsWith('127.0.0.1:'), true);
    });
  }

  for (const [host, target] of [
    ['couchgate.example', 'http://other.example/absolute'],
    ['couchgate.example', 'http://couchgate.example:81/absolute'],
    ['couchgate.example:5984', 'http://couchgate.example/absolute'],
    ['couchgate.example', 'https://couchgate.example:80/absolute'],
    ['couchgate.example', 'http://couchgate.example./absolute'],
    ['couchgate.example', 'http://couchgate.example%2f/absolute'],
    ['couchgate.example', 'http://user@couchgate.example/absolute'],
    ['couchgate.example', 'http://user:secret@couchgate.example/absolute'],
    ['couchgate.example', 'http://@couchgate.example/absolute'],
    ['user@couchgate.example', 'http://user@couchgate.example/absolute'],
    ['couchgate.example', 'http:///absolute'],
    ['', 'http:///absolute'],
    ['couchgate.example', 'http://couchgate.example#/absolute'],
    ['couchgate.example', 'http://couchgate.example/../absolute'],
    ['couchgate.example', 'http://couchgate.example/absolute#x'],
    ['couchgate.example', 'http://couchgate.example/http://couchgate.example/absolute'],
    ['couchgate.example', 'ftp://couchgate.example/absolute'],
    ['couchgate.example', 'ws://couchgate.example/absolute'],
    ['couchgate.example', 'httpx://couchgate.example/absolute'],
  ] as const) {
    it(`is refused – GET ${target} – Host: ${host} – CouchDB is not called`, async () => {
      const answer = await gate.send({
        line: `GET ${target}`,
        as: 'owner',
        headers: [`Host: ${host}`],
      });
      if (answer.status === 404) assert.deepEqual(answer.reached, []);
      else assertRefused(answer, 400, target);
    });
  }

  it('shows no user information in the access log – GET http://user:secret@couchgate.example/absolute', async () => {
    gate.front.takeLines();
    await gate.send({ line: 'GET http://user:secret@couchgate.example/absolute', as: 'owner' });
    await gate.send({ line: 'GET http://couchgate.example/absolute/x', as: 'owner' });
    const lines = JSON.stringify(gate.front.takeLines());
    assert.ok(!lines.includes('secret'), lines);
    assert.ok(lines.includes('"httpRequest":"/absolute/x"'), lines);
  });
});
