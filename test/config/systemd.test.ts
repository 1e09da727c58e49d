// Detection of a systemd service: variables that a child of a service inherits do not count.
import assert from 'node:assert/strict';
import { fstatSync } from 'node:fs';
import { describe, it } from 'node:test';
import { isSystemdService } from '../../src/config/systemd.ts';

const { dev, ino } = fstatSync(2, { bigint: true });

describe('isSystemdService', () => {
  const rows: readonly [name: string, env: Record<string, string>, expected: boolean][] = [
    ['no variables', {}, false],
    ['the main process of a service', { SYSTEMD_EXEC_PID: '17', INVOCATION_ID: 'a' }, true],
    ['a child of a service', { SYSTEMD_EXEC_PID: '16', INVOCATION_ID: 'a' }, false],
    ['output to the journal', { JOURNAL_STREAM: `${dev}:${ino}` }, true],
    ['a terminal of a desktop session', { JOURNAL_STREAM: '1:2', SYSTEMD_EXEC_PID: '16' }, false],
    ['an empty variable', { JOURNAL_STREAM: '' }, false],
  ];
  for (const [name, env, expected] of rows)
    it(`is ${expected} for ${name}`, () => assert.equal(isSystemdService(env, 17), expected));
});
