// H20.4: who may bring new atoms in sequences and bookmarks, seen through all steps.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { AtomCount } from '../../src/body/erlang-terms.ts';
import { type Couchgate, startCouchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const atom = (name: string): Buffer => Buffer.concat([Buffer.from([119, name.length]), Buffer.from(name)]);

/** A term with so many atoms, not compressed. */
function term(prefix: string, count: number): string {
  const atoms = Array.from({ length: count }, (_, at) => atom(`${prefix}${at}`));
  return Buffer.concat([Buffer.from([131, 108, 0, 0, 0, count]), ...atoms, Buffer.from([106])]).toString(
    'base64url',
  );
}

const SIXTY = 60;

/** True if Couchgate refused the term. The embedded node has other sequences, and refuses it too. */
const isRefused = ({ body }: { readonly body: unknown }): boolean =>
  JSON.stringify(body).includes('is not one of this server');

describe('H20 atoms that were sent before', () => {
  it('pass from every caller when fifty callers have used up those of the process', () => {
    const count = new AtomCount();
    const hundred = (of: string): ReadonlySet<string> =>
      new Set(Array.from({ length: 100 }, (_, at) => `${of}-${at}`));
    count.knowNodes(['couchdb@added']);
    assert.equal(count.admit(new Set(['couchdb@removed']), 'first'), true);
    // The last of them gets less: the atoms of CouchDB itself and the one above count too.
    const admitted = Array.from({ length: 50 }, (_, at) => count.admit(hundred(`k${at}`), `key ${at}`));
    assert.deepEqual(new Set(admitted.slice(0, 49)), new Set([true]));
    assert.equal(admitted[49], false);
    assert.equal(count.admit(hundred('late'), 'late'), false);
    for (const caller of ['first', 'late', 'key 0', 'never seen'])
      for (const warm of [
        hundred('k0'),
        hundred('k48'),
        new Set(['couchdb@removed', 'couchdb@added', 'nil']),
      ])
        assert.equal(count.admit(warm, caller), true, caller);
  });
});

describe('H20 new atoms', () => {
  const started = closedAfterSuite();
  let gate: Couchgate;
  before(async () => {
    gate = await started(startCouchgate({ settings: { trustedProxies: ['127.0.0.1/32'] } }));
  });

  it('of anonymous callers count together, whatever their networks', async () => {
    const status = async (network: number): Promise<number> => {
      const headers = { 'X-Forwarded-For': `2001:db8:0:${network}::1` };
      return (await fetch(`${gate.url}/?since=${term(`nobody${network}-`, SIXTY)}`, { headers })).status;
    };
    assert.equal(await status(1), 200);
    assert.equal(await status(2), 400);
  });

  it('of other services in the same process count apart', async () => {
    const { url } = await started(startCouchgate());
    assert.equal((await fetch(`${url}/?since=${term('apart', SIXTY)}`)).status, 200);
  });

  it('in a question about a request are not counted', async () => {
    const asker = await gate.key();
    const other = await gate.key();
    await gate.database('asked', { [asker.name]: ['_security'], [other.name]: ['_reader'] });
    const find = (n: number): object => ({ selector: {}, bookmark: term(`question${n}-`, SIXTY) });
    for (let n = 0; n < 3; n += 1) {
      const body = { principal: other.name, method: 'POST', path: '/asked/_find', body: find(n) };
      const answer = await gate.ask('POST', '/_api/v2/explain', { as: asker, body });
      assert.equal(answer.status, 200);
      assert.equal((answer.body as { decision: string }).decision, 'allow', JSON.stringify(answer.body));
    }
    const changes = `/asked/_changes?since=${term('own', SIXTY)}`;
    assert.equal(isRefused(await gate.ask('GET', changes, { as: other })), false);
  });

  it('are not those of the nodes – a caller without a share left continues at a sequence', async () => {
    const key = await gate.key();
    await gate.database('continued', { [key.name]: ['_reader'] });
    const isClosed = async (since: string): Promise<boolean> =>
      isRefused(await gate.ask('GET', `/continued/_changes?since=${since}`, { as: key }));
    assert.equal(await isClosed(term('used', 100)), false);
    assert.equal(await isClosed(term('more', 1)), true);
    const { body } = await gate.ask('GET', '/_membership', { as: gate.owner });
    const [name = ''] = (body as { all_nodes: string[] }).all_nodes;
    const sequence = Buffer.concat([Buffer.from([131]), atom(name)]).toString('base64url');
    await until(async () => !(await isClosed(sequence)), 'the names of the nodes were read');
  });
});
