// H41: a worker that replaces a dead one serves by the rules of the others, also if the files have changed in a
// way that the others have refused.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { startProgram, temporaryFolder } from '../support/program.ts';
import { until } from '../support/until.ts';

const folder = temporaryFolder();
const whitelist = join(folder.path, 'ip-whitelist.yaml');
writeFileSync(whitelist, 'allow: [192.0.2.1]\n');
const program = startProgram({
  COUCHGATE_WORKERS: '2',
  COUCHGATE_CONFIG: folder.path,
  COUCHGATE_DATA: join(folder.path, 'data'),
});
after(async () => {
  await program.end('SIGKILL');
  folder.remove();
});

/** Pids of the child processes (proc(5)). */
function workers(): readonly number[] {
  const pid = String(program.child.pid);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === pid;
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** The states of a request to each of several new connections, which the workers take in turn. */
async function states(): Promise<ReadonlySet<number>> {
  const url = await program.url;
  const seen = new Set<number>();
  for (let n = 0; n < 8; n += 1)
    seen.add((await fetch(`${url}/`, { headers: { Connection: 'close' } })).status);
  return seen;
}

describe('H41 replaced workers', { skip: process.platform !== 'linux' }, () => {
  it('keeps the whitelist that was removed, in a new worker too', async () => {
    await program.url;
    assert.deepEqual(await states(), new Set([403]));
    rmSync(whitelist);
    const refusals = (): number => (program.stderr().match(/no longer exists/gu) ?? []).length;
    await until(() => refusals() >= 2, 'both workers refuse that the file is gone');
    const before = refusals();
    const [first = 0] = workers();
    process.kill(first, 'SIGKILL');
    // Each worker says it once, the new one before it serves.
    await until(() => refusals() > before, 'a new worker');
    await until(() => workers().length === 2 && !workers().includes(first), 'two workers');
    for (let round = 0; round < 3; round += 1) assert.deepEqual(await states(), new Set([403]));
  });
});
