// The budget of JSON values: who may hold how many, and until when.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { type ServerResponse } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createValueBudget, HeldValues } from '../../src/body/value-budget.ts';
import { until } from '../support/until.ts';

class Response extends EventEmitter {
  writableFinished = false;
  close(isComplete: boolean): void {
    this.writableFinished = isComplete;
    this.emit('close');
  }
}
const open = (total: number) => {
  const budget = createValueBudget(total);
  return (caller: string) => {
    const response = new Response();
    return { response, reserve: budget(response as unknown as ServerResponse, caller) };
  };
};

describe('the budget of values', () => {
  it('gives one caller half, and all together no more than it has – 503', () => {
    const exchange = open(100);
    const [a, b, c] = [exchange('a'), exchange('b'), exchange('c')];
    assert.equal(a.reserve(50), undefined);
    assert.equal(a.reserve(1)?.status, 503);
    assert.equal(exchange('a').reserve(1)?.status, 503);
    assert.equal(b.reserve(50), undefined);
    assert.equal(c.reserve(1)?.status, 503);
    a.response.close(true);
    assert.equal(c.reserve(50), undefined);
    assert.equal(a.reserve(1)?.status, 503, 'the exchange is over');
  });

  it('keeps the values of a client that left: CouchDB still works on them', (t: TestContext) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const exchange = open(100);
    const left = exchange('a');
    assert.equal(left.reserve(50), undefined);
    left.response.close(false);
    assert.equal(exchange('a').reserve(1)?.status, 503);
    t.mock.timers.tick(60_000);
    assert.equal(exchange('a').reserve(50), undefined);
  });

  it('keeps nothing else of a client that left', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const exchange = open(100);
    const left = (): WeakRef<Response> => {
      const { response, reserve } = exchange('a');
      assert.equal(reserve(50), undefined);
      response.close(false);
      return new WeakRef(response);
    };
    const response = left();
    await until(() => {
      collectGarbage();
      return response.deref() === undefined;
    });
    assert.equal(exchange('a').reserve(1)?.status, 503);
  });

  it('has room for three documents of 64 MiB of one caller, seven of all; with 500 000 values, two and four', () => {
    const piece = Buffer.alloc(2 ** 26);
    for (const [values, ofOne, ofAll] of [
      [1, 3, 7],
      [500_000, 2, 4],
    ] as const) {
      const valueBudget = createValueBudget();
      const hold = (caller: string): boolean => {
        const res = new Response() as unknown as ServerResponse;
        return new HeldValues({ valueBudget, res, caller }).add(piece, values) === undefined;
      };
      const held = ['a', 'b', 'c'].map((caller) => [1, 2, 3, 4].filter(() => hold(caller)).length);
      assert.deepEqual(held, [ofOne, ofOne, ofAll - 2 * ofOne]);
    }
  });
});
