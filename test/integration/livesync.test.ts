// The settings of docs/recipes/livesync.md: Obsidian's origins pass CORS, and CouchDB takes large documents.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { startCluster, withoutCouchdb } from '../support/cluster.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/recipes/livesync.md'), 'utf8');

/** The block of the page that begins with this line, without its indent. */
function blockOf(first: string): string {
  const block = new RegExp(`^( *)\`\`\`\\w+\\n *${first}\\n([^]*?)^ *\`\`\``, 'm').exec(PAGE);
  assert.ok(block !== null, `the page has no block ${first}`);
  return (block[2] ?? '').replaceAll(new RegExp(`^${block[1] ?? ''}`, 'gm'), '');
}

const CORS = blockOf('# cors.yaml');
const { origins } = parse(CORS) as { readonly origins: readonly string[] };

describe('Obsidian LiveSync', () => {
  let gate: Couchgate;
  let key: Credentials;
  const started = closedAfterSuite();
  before(async () => {
    gate = await started(startCouchgate());
    key = await gate.key();
    await gate.database('vault', { [key.name]: ['_reader', '_writer'] });
    writeFileSync(join(gate.configFolder, 'cors.yaml'), CORS);
    gate.running.reload();
  });

  it('has three origins: computers, iOS and Android', () => assert.equal(origins.length, 3));

  for (const origin of origins)
    it(`may preflight, write and read – ${origin}`, async () => {
      const asked = { Origin: origin, 'Access-Control-Request-Method': 'PUT' };
      const headers = { ...asked, 'Access-Control-Request-Headers': 'authorization,content-type' };
      const preflight = await gate.ask('OPTIONS', '/vault/doc', { headers });
      assert.ok(preflight.status < 300, `${preflight.status} < 300`);
      for (const [method, body] of [['PUT', {}] as const, ['GET', undefined] as const]) {
        const path = `/vault/${encodeURIComponent(origin)}`;
        const answer = await gate.ask(method, path, { as: key, headers: { Origin: origin }, body });
        assert.ok(answer.status < 300, JSON.stringify(answer.body));
        assert.equal(answer.headers.get('access-control-allow-origin'), origin);
        assert.equal(answer.headers.get('access-control-allow-credentials'), 'true');
      }
    });
});

describe('Obsidian LiveSync on CouchDB', { skip: withoutCouchdb }, () => {
  const started = closedAfterSuite();

  it('writes and reads a document of 30 MB – PUT /vault/large', async () => {
    const cluster = await started(startCluster({ ini: blockOf('; local.d of every CouchDB node') }));
    const unused = { log: () => Promise.resolve(''), close: () => Promise.resolve() };
    const gate = await started(startCouchgate({ backend: { ...cluster, ...unused, kind: 'couchdb' } }));
    await gate.database('vault');
    const body = JSON.stringify({ data: 'x'.repeat(30_000_000) });
    assert.equal((await gate.ask('PUT', '/vault/large', { as: gate.owner, body })).status, 201);
    const headers = { Authorization: basic(gate.owner) };
    const answer = await fetch(`${gate.url}/vault/large`, { headers });
    assert.equal((await answer.text()).length > 30_000_000, true);
  });
});
