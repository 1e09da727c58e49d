// That what is made for each request stays in the young generation of V8.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createRevocationWatch, type WatchedExchange } from '../src/revocation/revocation-watch.ts';
import { createObjectsYoung } from '../src/young-objects.ts';

const REQUESTS = 3000;
/** Bytes of each exchange. */
const SIZE = 4096;

function oldBytes(): number {
  const old = getHeapSpaceStatistics().filter(({ space_name: name }) =>
    /^(old|large_object)_space$/.test(name),
  );
  return old.reduce((sum, { space_used_size: bytes }) => sum + bytes, 0);
}

describe('objects of a request', () => {
  it('are free after a minor garbage collection – a revocation watch that has ended', () => {
    createObjectsYoung();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;
    const watch = createRevocationWatch({
      bus: { onMessage: () => undefined },
      isStillPermitted: () => true,
      outageSeconds: 1,
    });
    collect();
    const before = oldBytes();
    for (let at = 0; at < REQUESTS; at += 1) {
      const exchange = { cut: () => undefined, held: new Array<number>(SIZE / 8).fill(at) };
      watch.register(exchange as unknown as WatchedExchange)();
    }
    collect({ type: 'minor' });
    collect({ type: 'minor' });
    const kept = oldBytes() - before;
    watch.close();
    assert.ok(kept < (REQUESTS * SIZE) / 4, `${kept} bytes in the old generation`);
  });
});
