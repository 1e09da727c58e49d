// H21: two changes of an API key at the same time leave two states of it. CouchDB's choice of the winner must
// not bring back a password that a rotation has ended, nor a key that has expired.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { type Store } from '../../src/couch/store.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { startReplica, type Replica } from '../support/own-couch.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const database = `couchgate-${randomBytes(4).toString('hex')}`;
const started = closedAfterSuite();
let backend: Backend;
let replica: Replica;
/** Knows nothing of the writes of the other but by the store. */
let other: Replica;

before(async () => {
  backend = await started(startBackend());
  replica = await started(Promise.resolve(startReplica(backend, { database })));
  other = await started(Promise.resolve(startReplica(backend, { database })));
  await until(() => replica.bus.up && other.bus.up, 'the feeds are up');
});

interface StoredKey {
  readonly _id: string;
  readonly _rev: string;
  readonly _conflicts?: readonly string[];
  readonly [field: string]: unknown;
}

async function read(key: string): Promise<StoredKey> {
  const path = `/${database}/${encodeURIComponent(`key:${key}`)}?conflicts=true`;
  return (await replica.couch.ask({ method: 'GET', path })).body as StoredKey;
}

/** Writes a state of the key beside the present one, as a node does that was away; it wins. */
async function writeBeside(stored: StoredKey, fields: object): Promise<void> {
  const [generation = '', parent = ''] = stored._rev.split('-');
  const start = Number(generation) + 1;
  const _revisions = { start, ids: ['f'.repeat(32), parent] };
  const doc = { ...stored, ...fields, _rev: `${start}-${'f'.repeat(32)}`, _revisions };
  const body = { new_edits: false, docs: [doc] };
  const { status } = await replica.couch.ask({ method: 'POST', path: `/${database}/_bulk_docs`, body });
  assert.equal(status, 201);
}

/** The store by nodes that were away since `read`: they know nothing of the others, and are too few. */
function storeOfFew(away: StoredKey): Store {
  let present = away;
  const ids = [away._rev.slice(away._rev.indexOf('-') + 1)];
  const write: Store['write'] = async (document) => {
    assert.equal(document._rev, present._rev);
    ids.unshift('f'.repeat(31) + String(ids.length));
    const start = Number.parseInt(present._rev, 10) + 1;
    const rev = `${start}-${ids[0] ?? ''}`;
    present = { ...document, _rev: rev };
    const body = { new_edits: false, docs: [{ ...present, _revisions: { start, ids } }] };
    await replica.couch.ask({ method: 'POST', path: `/${database}/_bulk_docs`, body });
    return { outcome: 'written', rev, quorum: false };
  };
  const read: Store['read'] = (id, options) =>
    ids.length === 1 && id === away._id ? Promise.resolve(present) : other.store.read(id, options);
  return new Proxy(other.store, {
    get: (store, name) => {
      if (name === 'write') return write;
      if (name === 'read') return read;
      const value: unknown = Reflect.get(store, name, store);
      return typeof value === 'function' ? (value.bind(store) as unknown) : value;
    },
  });
}

const outcome = async (at: Replica, key: string, password: string): Promise<string> =>
  (await at.keys.verify(key, password)).outcome;

/** Every replica comes to refuse the old password, and accepts the new one. */
async function acceptOnly(
  replicas: readonly Replica[],
  key: string,
  password: string | undefined,
  old: string,
): Promise<void> {
  for (const at of replicas) {
    await until(async () => (await outcome(at, key, old)) === 'wrong', 'the old password is refused');
    assert.equal(await outcome(at, key, password ?? ''), 'accepted');
  }
}

/** The next change removes the leaves beside the winner, and brings no old password back. */
async function leavesOneState(key: string, password: string | undefined, old: string): Promise<void> {
  await other.keys.change(key, { label: 'newer' });
  assert.equal((await read(key))._conflicts, undefined);
  assert.equal(await outcome(other, key, password ?? ''), 'accepted');
  assert.equal(await outcome(other, key, old), 'wrong');
}

describe('H21: racing changes of a key', () => {
  it('keep the password of the rotation, and the next change leaves one state', async () => {
    const { key, password: old } = await replica.keys.create({ label: null, expiresAt: null, by: 'admin' });
    const stored = await read(key);
    const rotated = await replica.keys.rotate(key, 0);
    await writeBeside(stored, { label: 'new' });
    assert.equal((await read(key))['label'], 'new', 'the change of the label wins');
    await acceptOnly([replica, other], key, rotated?.password, old);
    await leavesOneState(key, rotated?.password, old);
  });

  it('keep an acknowledged rotation when another one, on too few nodes, is taken back', async () => {
    const { key, password: old } = await replica.keys.create({ label: null, expiresAt: null, by: 'admin' });
    const away = await read(key);
    const rotated = await replica.keys.rotate(key, 0);
    const few = await started(Promise.resolve(startReplica(backend, { database, store: storeOfFew(away) })));
    await assert.rejects(few.keys.rotate(key, 86_400), /Too few CouchDB nodes/);
    assert.equal((await read(key))._conflicts?.length, 1, 'CouchDB has both states');
    await acceptOnly([replica, other, few], key, rotated?.password, old);
    await leavesOneState(key, rotated?.password, old);
  });

  it('keep an acknowledged rotation beside one that nothing took back', async () => {
    const { key, password: old } = await replica.keys.create({ label: null, expiresAt: null, by: 'admin' });
    const stored = await read(key);
    const [digest] = stored['digests'] as readonly object[];
    const rotated = await replica.keys.rotate(key, 0);
    const added = { salt: 'a'.repeat(32), digest: 'b'.repeat(64), expires_at: null };
    await writeBeside(stored, { digests: [added, digest], rotations: 1 });
    await acceptOnly([replica, other], key, rotated?.password, old);
  });

  it('keep the earliest end', async () => {
    const { key, password } = await replica.keys.create({ label: null, expiresAt: null, by: 'admin' });
    const stored = await read(key);
    await replica.keys.change(key, { expiresAt: '2020-01-01T00:00:00.000Z' });
    await writeBeside(stored, { label: 'new' });
    for (const at of [replica, other])
      await until(async () => (await outcome(at, key, password)) === 'expired', 'the key has expired');
  });
});
