// Where the lines of a log end.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { linesOf } from '../../src/cli/log-lines.ts';

async function linesIn(chunks: readonly (Buffer | string)[]): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(Readable.from(chunks))) lines.push(line);
  return lines;
}

describe('the lines of a log', () => {
  it('end at line feeds only, whatever the chunks', async () => {
    const lines = ['{"a":"\u2028\u2029\u0085"}', '', 'é\r', 'last'];
    const bytes = Buffer.from(lines.join('\n'));
    for (const size of [1, 2, 7, bytes.length]) {
      const count = Math.ceil(bytes.length / size);
      const chunks = Array.from({ length: count }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
      assert.deepEqual(await linesIn(chunks), lines);
      assert.deepEqual(await linesIn([`${lines.join('\n')}\n`]), lines);
    }
  });
});
