// On which connections a request travels, and which of them may be used again after the answer.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planConnection, onNewConnection, isReusableAfter } from '../../src/forward/connection-plan.ts';
import { type PoolKind } from '../../src/catalogue/endpoint.ts';

describe('the way of a request', () => {
  const cases: readonly (readonly [PoolKind, string | undefined, boolean, string, string])[] = [
    ['pooled', undefined, false, '', 'short pooled'],
    ['pooled', undefined, false, '?feed=continuous', 'short pooled'],
    ['pooled', 'application/json', true, '', 'short pooled'],
    ['pooled', 'application/json; charset=utf-8', true, '', 'short pooled'],
    ['pooled', 'text/plain', false, '', 'short pooled'],
    ['pooled', undefined, true, '', 'short single-use'],
    ['pooled', 'multipart/related; boundary=x', true, '', 'short single-use'],
    ['pooled', 'application/json+multipart', true, '', 'short single-use'],
    ['pooled', 'application/jsonmultipart/related', true, '', 'short single-use'],
    ['pooled', 'text/plain', true, '', 'short single-use'],
    ['single-use', 'application/json', true, '', 'short single-use'],
    ['single-use', undefined, false, '', 'short single-use'],
    ['pooled', undefined, false, '?rev=1-a%20&revs=true', 'short pooled'],
    ['feed', undefined, false, '', 'short pooled'],
    ['feed', undefined, false, '?since=5&limit=2', 'short pooled'],
    ['feed', undefined, false, '?feed=continuous', 'feed feed'],
    ['feed', undefined, false, '?a=1&feed=longpoll', 'feed feed'],
    ['feed', undefined, false, '?%66eed=continuous', 'feed feed'],
    ['feed', undefined, false, '?FEED=continuous', 'feed feed'],
    ['feed', 'application/json', true, '?feed=longpoll', 'feed feed'],
    ['feed', 'multipart/related', true, '?feed=longpoll', 'feed single-use'],
  ];
  it('is that of a feed also where a row stands for a whole system database', () => {
    assert.deepEqual(
      planConnection(
        'single-use',
        { path: '/_users/_changes', query: '?feed=continuous' },
        undefined,
        false,
        false,
      ),
      {
        queue: 'feed',
        pool: 'single-use',
      },
    );
  });
  for (const [declared, type, hasBody, query, expected] of cases) {
    it(`${declared} with ${hasBody ? (type ?? 'a body') : 'no body'} ${query} goes ${expected}`, () => {
      const { queue, pool } = planConnection(declared, { path: '/db/x', query }, type, hasBody, false);
      assert.equal(`${queue} ${pool}`, expected);
    });
  }

  it('has a queue of its own if the answer may be held in memory as a whole', () => {
    const planned = (declared: PoolKind, query: string): string => {
      const { queue, pool } = planConnection(declared, { path: '/db/x', query }, undefined, false, true);
      return `${queue} ${pool}`;
    };
    assert.equal(planned('pooled', ''), 'whole pooled');
    assert.equal(planned('single-use', ''), 'whole single-use');
    assert.equal(planned('feed', '?since=5'), 'whole pooled');
    assert.equal(planned('feed', '?feed=normal'), 'whole-feed feed');
  });

  it('keeps its queue when it is made on a new connection', () => {
    assert.deepEqual(onNewConnection({ queue: 'short', pool: 'pooled' }), {
      queue: 'short',
      pool: 'single-use',
    });
    assert.equal(onNewConnection({ queue: 'whole', pool: 'pooled' }).queue, 'whole');
    for (const queue of ['feed', 'whole-feed'] as const)
      assert.deepEqual(onNewConnection({ queue, pool: 'feed' }), { queue, pool: 'single-use' });
  });
});

describe('a connection after its answer', () => {
  const cases: readonly (readonly [number, string | undefined, boolean])[] = [
    [200, 'application/json', true],
    [404, 'application/json', true],
    [200, 'application/json;charset=utf-8', true],
    [200, 'text/plain; charset=utf-8', true],
    [304, undefined, true],
    [200, undefined, false],
    [200, 'text/plain', false],
    [200, 'text/plain; charset=utf-8; x', false],
    [200, 'text/html', false],
    [200, 'image/png', false],
    [200, 'text/event-stream', false],
    [200, 'multipart/related; boundary="x"', false],
    [200, 'application/jsonx', false],
    [200, '', false],
  ];
  for (const [status, type, kept] of cases) {
    it(`is ${kept ? 'kept' : 'given up'} – ${String(status)} ${String(type)}`, () => {
      assert.equal(isReusableAfter(status, type), kept);
    });
  }
});
