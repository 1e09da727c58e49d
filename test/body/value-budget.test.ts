// The budget of JSON values: who may hold how many, and until when.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { type ServerResponse } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { createValueBudget } from '../../src/body/value-budget.ts';

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
});
