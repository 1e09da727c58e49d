// A late line is written once, whatever happens first.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LateLines } from '../../src/audit/late-lines.ts';
import { until } from '../support/until.ts';

describe('a line that waits for a change', () => {
  it('is written once: after the change, after the longest wait, or before the log is closed', async () => {
    const written: string[] = [];
    const lines = new LateLines(1);
    lines.add(Promise.resolve(), () => written.push('ended'));
    await until(() => written.length === 1);
    lines.add(new Promise(() => undefined), () => written.push('waited'));
    await until(() => written.length === 2);
    const slow = new LateLines();
    let end = (): void => undefined;
    slow.add(new Promise((resolve) => (end = resolve)), () => written.push('flushed'));
    slow.flush();
    slow.flush();
    end();
    await Promise.resolve();
    assert.deepEqual(written, ['ended', 'waited', 'flushed']);
  });

  it('waits for as long as a change behind the longest queue takes', (test) => {
    test.mock.timers.enable({ apis: ['setTimeout'] });
    const written: string[] = [];
    new LateLines().add(new Promise(() => undefined), () => written.push('waited'));
    test.mock.timers.tick(255_000);
    assert.deepEqual(written, []);
    test.mock.timers.tick(60_000);
    assert.deepEqual(written, ['waited']);
  });
});
