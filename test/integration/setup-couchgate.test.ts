// `couchgate setup` with the URL of Couchgate in place of a CouchDB node.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { openAdmin, refuseCouchgate } from '../../src/setup/admin.ts';
import { runSetup } from '../../src/setup/index.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

describe('setup with the URL of Couchgate', () => {
  let gate: Couchgate;
  const started = closedAfterSuite();
  before(async () => {
    gate = await started(startCouchgate());
  });

  async function setup(...args: readonly string[]): Promise<{ code: number; text: string }> {
    const lines: string[] = [];
    const code = await runSetup({
      args,
      env: { COUCHGATE_ADMIN_USER: gate.owner.name, COUCHGATE_ADMIN_PASSWORD: gate.owner.password },
      settings: () => ({ jwtKid: 'a', jwtSecret: '', data: '/', couchdbCa: '', storeDatabase: 'couchgate' }),
      print: (line) => lines.push(line),
    });
    return { code, text: lines.join('\n') };
  }

  for (const options of [['--dry-run'], [], ['--join']])
    it(`says that it is not CouchDB, and writes nothing – setup ${options.join(' ')} – 1`, async () => {
      const { code, text } = await setup(...options, gate.url);
      assert.equal(code, 1);
      assert.equal(
        text,
        `couchgate setup: ${gate.url} is Couchgate itself, not CouchDB; pass the URLs of the CouchDB nodes behind it`,
      );
    });

  it('says so for the credentials of an API key too', async () => {
    const { name, password } = await gate.key();
    const admin = openAdmin({ url: gate.url, credentials: { name, password } });
    await assert.rejects(refuseCouchgate(admin), /is Couchgate itself/);
  });

  it('accepts a CouchDB node, and one that does not answer yet', async () => {
    const [url = ''] = gate.backend.urls;
    await refuseCouchgate(openAdmin({ url, credentials: gate.owner }));
    await refuseCouchgate(openAdmin({ url: 'http://127.0.0.1:1', credentials: gate.owner }));
  });
});
