// H20: texts in which Couchgate looks for a pattern. A revision of 65 000 zeros stopped a worker for four seconds, and a
// `_bulk_get` has 256 of them. ESLint finds such expressions (regexp/no-super-linear-*), if they are not put together in code.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { maskTarget } from '../../src/audit/mask.ts';
import { describeError } from '../../src/couch/outage.ts';
import { judgeHandlers } from '../../src/setup/rules.ts';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';

/** Texts of a body of a query are not longer. */
const LONGEST = 65_500;
/** Quadratic work takes ten times as long, linear work a thousandth. */
const MAX_CPU_SECONDS = 5;

/** The time of the processor, so that other programs do not count. */
async function cpuSeconds(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

describe('H20 a long text', () => {
  let front: PolicyFront;
  before(async () => (front = await startPolicyFront()));
  after(() => front.close());

  const zeros = '0'.repeat(LONGEST);
  for (const [title, rev] of [
    ['zeros', zeros],
    ['zeros and a letter', `${zeros}a-a`],
    ['zeros and a hash', `+${zeros}-a`],
    ['a hash of zeros', `1-${zeros}`],
  ] as const)
    it(`as a revision is read once – ${title} – POST /db/_bulk_get`, async () => {
      const entries = Array.from({ length: 4 }, (_, n) => `{"id":"d${n}","rev":"${rev}"}`);
      const seconds = await cpuSeconds(async () => {
        const headers = { 'x-test-caller': 'reader', 'content-type': 'application/json' };
        const request = http.request(`${front.url}/db/_bulk_get`, { method: 'POST', agent: false, headers });
        request.end(`{"docs":[${entries.join(',')}]}`);
        const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
        answer.resume();
        await once(answer, 'end');
      });
      assert.ok(seconds < MAX_CPU_SECONDS, `${seconds} s`);
    });

  const long = (piece: string): string => piece.repeat(150_000);
  const TEXTS: Readonly<
    Record<string, readonly [work: (text: string) => unknown, texts: readonly string[]]>
  > = {
    'a target in the access log': [
      maskTarget,
      [
        ...['%2F', '_', 'pass', ':/'].map((text) => `http:/pass${long(text)}?@`),
        `:/a%3A${long('%2F')}@`,
        `?a%${long('%')}`,
        long(' '),
      ],
    ],
    'a message of an error': [
      (text) => describeError(new Error(`${text}x`)),
      ['\n', '\n ', ' at '].map(long),
    ],
    'a list of handlers': [judgeHandlers, ['{', '{ '].map(long)],
  };
  for (const [title, [work, texts]] of Object.entries(TEXTS))
    it(`is read a few times – ${title}`, async () => {
      for (const text of texts) {
        const seconds = await cpuSeconds(() => work(text));
        assert.ok(seconds < MAX_CPU_SECONDS, `${JSON.stringify(text.slice(0, 20))}: ${seconds} s`);
      }
    });
});
