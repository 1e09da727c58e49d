// H4: the store of keys must be shut to everybody but server admins before anything is written to it, whatever its security object was.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { createStore } from '../../src/couch/store.ts';
import { type CouchClient } from '../../src/couch/client.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { ownCouch } from '../support/own-couch.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

describe('the store database (H4)', () => {
  let backend: Backend;
  let couch: CouchClient;

  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend());
    couch = await started(ownCouch(backend));
  });

  const anonymous = async (path: string): Promise<number> =>
    (await couch.ask({ method: 'GET', path, headers: { accept: 'application/json' } })).status;

  for (const [title, security] of [
    ['does not exist', undefined],
    ['is public', {}],
    ['names members', { members: { names: ['mallory'], roles: [] }, admins: { names: ['mallory'] } }],
    ['looks like a database of a client', { cloudant: { nobody: ['_reader'] }, members: { roles: [] } }],
  ] as const) {
    it(`is shut when it ${title}`, async () => {
      const database = `store-${title.replaceAll(' ', '-')}`;
      if (security !== undefined) {
        await couch.ask({ method: 'PUT', path: `/${database}` });
        await couch.ask({ method: 'PUT', path: `/${database}/_security`, body: security });
      }
      const store = createStore({ couch, database, report: () => undefined });
      store.start();
      await until(() => store.up);
      assert.equal(await anonymous(`/${database}/_all_docs`), 401);
      const { body } = await couch.ask({ method: 'GET', path: `/${database}/_security` });
      const { admins, members } = body as { admins: unknown; members: unknown };
      assert.deepEqual(
        [admins, members],
        [
          { names: [], roles: ['_admin'] },
          { names: [], roles: ['_admin'] },
        ],
      );
      assert.deepEqual(Object.keys(body as object).sort(), ['admins', 'members']);
      store.close();
    });
  }
});
