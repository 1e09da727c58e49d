// H8.2: stored pages never run scripts on the origin of Couchgate, except in databases that the operator has named.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';

const PAGE = Buffer.from('<script>top.stolen = document.cookie</script>').toString('base64');
const DATABASES = ['apps', 'apps-2', 'other'];
const SPELLINGS = ['/apps/site/index.html', '//apps/site/index.html', '/%61pps/site/index.html'];

for (const unsandboxedDatabases of ['', 'apps', ' apps , more']) {
  describe(`H8.2: stored pages, unsandboxed_databases: "${unsandboxedDatabases}"`, () => {
    let gate: Couchgate;
    let key: Credentials;
    before(async () => {
      gate = await startCouchgate({ settings: { unsandboxedDatabases } });
      key = await gate.key();
      for (const database of DATABASES) {
        await gate.database(database, { [key.name]: ['_reader', '_writer'] });
        const _attachments = { 'index.html': { content_type: 'text/html', data: PAGE } };
        const put = await gate.ask('PUT', `/${database}/site`, { as: key, body: { _attachments } });
        assert.equal(put.status, 201);
      }
    });
    after(() => gate.close());

    const policyOf = async (path: string): Promise<string | null> => {
      const answer = await fetch(gate.url + path, { headers: { authorization: basic(key) } });
      assert.equal(answer.status, 200, path);
      await answer.arrayBuffer();
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
      return answer.headers.get('content-security-policy');
    };

    it('have a sandbox unless their database is named – GET /{db}/site/index.html', async () => {
      for (const path of SPELLINGS)
        assert.equal(await policyOf(path), unsandboxedDatabases === '' ? 'sandbox' : null, path);
      for (const path of ['/apps-2/site/index.html', '/other/site/index.html'])
        assert.equal(await policyOf(path), 'sandbox', path);
    });
  });
}
