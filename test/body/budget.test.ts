// The memory that bodies may take together, as it is counted: by caller, and until the answer is over.
import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { createBodyBudget } from '../../src/body/budget.ts';

const answer = (): ServerResponse => new ServerResponse(new IncomingMessage(new Socket()));

describe('the budget of bodies', () => {
  it('gives one caller half, all together the whole, and has it back when the answers are over', () => {
    const budget = createBodyBudget(100);
    const [first, second, third] = [answer(), answer(), answer()];
    assert.equal(budget(first, 'ann')(50), undefined);
    assert.notEqual(budget(second, 'ann')(1), undefined);
    assert.equal(budget(second, 'bob')(50), undefined);
    assert.notEqual(budget(third, 'joe')(1), undefined);
    first.emit('close');
    assert.equal(budget(third, 'joe')(50), undefined);
  });

  it('counts nothing for a client that has left while its body was inflated', () => {
    const budget = createBodyBudget(100);
    const gone = answer();
    const hold = budget(gone, 'ann');
    assert.equal(hold(10), undefined);
    gone.emit('close');
    assert.notEqual(hold(40), undefined);
    assert.equal(budget(answer(), 'ann')(50), undefined);
  });
});
