// Runs the lines of the README's walk-through as they stand there, with the address and the folder of this test in place of the default ones.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { walkThrough } from '../../src/welcome.ts';
import { startProgram, temporaryFolder, type Program } from '../support/program.ts';

const README = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

/** The shell lines behind the comment that names this test. */
function walkThroughOf(readme: string): readonly string[] {
  const [, block] = /<!-- walk-through[^>]*-->\n```sh\n([\s\S]*?)```/u.exec(readme) ?? [];
  assert.ok(block !== undefined, 'the README has no walk-through');
  return block.trim().split('\n');
}

describe("the README's walk-through", () => {
  const folder = temporaryFolder();
  const data = join(folder.path, 'data');
  let program: Program;
  before(() => {
    program = startProgram({ COUCHGATE_DATA: data });
  });
  after(async () => {
    await program.end('SIGKILL');
    folder.remove();
  });

  it('is what Couchgate prints at its first start', () => {
    const printed = walkThrough('http://127.0.0.1:5984', 'admin', '$(cat data/owner_password)');
    assert.deepEqual(walkThroughOf(README), printed);
  });

  it('makes a database, a key and a grant; the key reads and may not write', async () => {
    const url = await program.url;
    const lines = walkThroughOf(README).map((line) =>
      line
        .replaceAll('127.0.0.1:5984', new URL(url).host)
        .replaceAll('data/owner_password', join(data, 'owner_password')),
    );
    const output = execFileSync('bash', ['-euc', lines.join('\n')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const answers = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    assert.deepEqual(answers, [
      { ok: true },
      { ok: true, revision: 2 },
      { total_rows: 0, offset: 0, rows: [] },
      { error: 'forbidden', reason: '_writer access is required for this request' },
    ]);
  });
});
