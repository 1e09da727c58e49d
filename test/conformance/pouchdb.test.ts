// PouchDB, unchanged, in two-way live replication through Couchgate, with keys that hold exactly the roles of the specification.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { contentOf, localPouch, remotePouch, type Pouch, type Sync } from '../support/pouch.ts';
import { until } from '../support/until.ts';

/** IBM Cloudant's recommendation for a target, and its narrower pair. */
const ROLES = [
  ['_reader', '_writer'],
  ['_replicator', '_writer'],
] as const;

describe('PouchDB', () => {
  let couchgate: Couchgate;
  before(async () => {
    couchgate = await startCouchgate();
  });
  after(() => couchgate.close());

  async function twoDevices(
    database: string,
    roles: readonly string[],
  ): Promise<{ readonly key: Credentials; readonly url: string; readonly devices: readonly [Pouch, Pouch] }> {
    const key = await couchgate.key();
    await couchgate.database(database, { [key.name]: roles });
    const devices = [localPouch(`${database}-one`), localPouch(`${database}-two`)] as const;
    return { key, url: `${couchgate.url}/${database}`, devices };
  }

  for (const roles of ROLES) {
    it(`keeps two devices alike, live and both ways, as ${roles.join(' and ')}`, async () => {
      const { key, url, devices } = await twoDevices(`live${roles[0]}`, roles);
      const [one, two] = devices;
      await one.put({ _id: 'before', n: 1 });
      const failures: unknown[] = [];
      const syncs = devices.map((device) =>
        device
          .sync(remotePouch(url, key), { live: true, retry: false })
          .on('error', (error) => failures.push(error))
          .on('denied', (denied) => failures.push(denied)),
      );
      await until(async () => (await contentOf(two)).length === 1);
      const data = Buffer.from('grüße'.repeat(1000)).toString('base64');
      await two.put({ _id: 'picture', _attachments: { 'a b/ü.txt': { content_type: 'text/plain', data } } });
      await one.put({ _id: 'gone', n: 1 });
      await until(async () => (await contentOf(one)).length === 3 && (await contentOf(two)).length === 3);
      const { rev } = await two.put({ ...(await two.get('gone')), n: 2 });
      await two.remove('gone', rev);
      await until(async () => (await contentOf(one)).length === 2);
      assert.deepEqual(await contentOf(one), await contentOf(two));
      await finish(syncs);
      assert.deepEqual(failures, []);
    });
  }

  it('brings the same conflict to both devices', async () => {
    const { key, url, devices } = await twoDevices('conflict', ['_reader', '_writer']);
    await devices[0].put({ _id: 'doc', by: 'one' });
    await devices[1].put({ _id: 'doc', by: 'two' });
    for (const device of [...devices, devices[0]]) {
      const remote = remotePouch(url, key);
      await device.replicate.to(remote);
      await device.replicate.from(remote);
    }
    const [one, two] = await Promise.all(devices.map(contentOf));
    assert.deepEqual(one, two);
    assert.equal((one?.[0]?.['_conflicts'] as readonly string[]).length, 1);
  });

  it('pulls what stands behind a document with leaves in 40 generations', async () => {
    const { key, url, devices } = await twoDevices('leaves', ['_reader', '_writer']);
    const [device] = devices;
    const write = (docs: readonly object[]): Promise<unknown> =>
      couchgate.ask('POST', '/leaves/_bulk_docs', { as: couchgate.owner, body: { docs, new_edits: false } });
    // PouchDB reads documents one by one if its first _bulk_get is refused, and never after an answer to one.
    await write([{ _id: 'before', _rev: '1-a' }]);
    const pull = device.sync(remotePouch(url, key), {
      live: true,
      batch_size: 1,
      push: { filter: () => false },
    });
    await until(async () => (await contentOf(device)).length === 1);
    await write(Array.from({ length: 40 }, (_, n) => ({ _id: 'often', _rev: `${n + 1}-leaf${n}`, n })));
    await write([{ _id: 'behind', _rev: '1-a' }]);
    await until(async () => {
      const often = (await contentOf(device)).find(({ _id: id }) => id === 'often');
      return (often?.['_conflicts'] as readonly string[] | undefined)?.length === 39;
    });
    await until(async () => (await contentOf(device)).length === 3);
    await finish([pull]);
  });

  it('only pulls as _reader: what it writes is refused, and said to be – denied', async () => {
    const { key, url, devices } = await twoDevices('pull', ['_reader']);
    await couchgate.ask('PUT', '/pull/there', { as: couchgate.owner, body: {} });
    const [one] = devices;
    await one.replicate.from(remotePouch(url, key));
    assert.deepEqual(
      (await contentOf(one)).map(({ _id: id }) => id),
      ['there'],
    );
    await one.put({ _id: 'mine' });
    await assert.rejects(one.replicate.to(remotePouch(url, key)), { status: 403 });
    assert.equal((await couchgate.ask('GET', '/pull/mine', { as: couchgate.owner })).status, 404);
  });

  it('sees its live replication end when its key loses its roles', async () => {
    const { key, url, devices } = await twoDevices('revoked', ['_reader']);
    const [one] = devices;
    const remote = remotePouch(url, key);
    let ended: unknown;
    const pull = one.replicate.from(remote, { live: true, retry: false });
    pull.catch((error: unknown) => (ended = error));
    await couchgate.ask('PUT', '/revoked/first', { as: couchgate.owner, body: {} });
    await until(async () => (await contentOf(one)).length === 1);
    await couchgate.grant('revoked', {});
    await until(() => ended !== undefined, 'the replication ends with an error');
    await couchgate.ask('PUT', '/revoked/second', { as: couchgate.owner, body: {} });
    assert.equal((await contentOf(one)).length, 1);
  });
});

async function finish(syncs: readonly Sync[]): Promise<void> {
  await Promise.all(
    syncs.map((sync) => {
      const complete = new Promise((resolve) => sync.on('complete', resolve));
      sync.cancel();
      return complete;
    }),
  );
}
