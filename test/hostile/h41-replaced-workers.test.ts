// H41: a worker that replaces a dead one goes on from what the primary has read of the files.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { loadSettings } from '../../src/config/load.ts';
import { watchSettings, type WatchState } from '../../src/config/reload.ts';
import { rememberingLog } from '../support/log.ts';
import { temporaryFolder } from '../support/program.ts';

const folder = temporaryFolder();
after(() => folder.remove());

describe('H41 replaced workers', () => {
  it('keeps the whitelist that was removed, in a new worker too', () => {
    const file = join(folder.path, 'ip-whitelist.yaml');
    writeFileSync(file, 'allow: [192.0.2.1]\n');
    const common = {
      env: {},
      folder: folder.path,
      log: rememberingLog(),
      acceptCertificates: () => undefined,
    };
    const initial = loadSettings({ env: {}, folder: folder.path });
    const primary = watchSettings({ ...common, initial });
    rmSync(file);
    assert.equal(primary.reload().outcome, 'refused');
    const resumed = JSON.parse(JSON.stringify(primary.state())) as WatchState;
    const worker = watchSettings({ ...common, initial: resumed.current, resumed });
    assert.equal(worker.reload().outcome, 'refused');
    assert.deepEqual(worker.current.allow, initial.allow);
    primary.close();
    worker.close();
  });
});
