// H42: a stderr that cannot be written neither ends Couchgate nor stops it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { freePort } from '../support/free-port.ts';
import { PROGRAM, ROOT, temporaryFolder } from '../support/program.ts';
import { until } from '../support/until.ts';

const folder = temporaryFolder();
after(() => folder.remove());

describe('H42 logs that cannot be written', { skip: !existsSync('/dev/full') }, () => {
  it('serves while stderr is full, and ends on SIGTERM', async () => {
    const port = String(await freePort());
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, PROGRAM, {
      cwd: ROOT,
      stdio: ['ignore', 'ignore', full],
      env: {
        ...process.env,
        COUCHGATE_DATA: join(folder.path, 'data'),
        COUCHGATE_LISTEN: `127.0.0.1:${port}`,
        COUCHGATE_METRICS_LISTEN: 'off',
      },
    });
    closeSync(full);
    const ended = once(child, 'exit');
    const isUp = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${port}/_up`).then(
        ({ ok }) => ok,
        () => child.exitCode !== null,
      );
    try {
      await until(isUp, 'Couchgate is up or has ended');
      assert.equal(child.exitCode, null);
      // Each reload of a broken setting would be a line of the log.
      child.kill('SIGHUP');
      assert.equal((await fetch(`http://127.0.0.1:${port}/_up`)).status, 200);
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
