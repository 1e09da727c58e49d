// Why a request was refused, in words.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pageAbout, refusalInWords } from '../../src/dashboard/log-words.ts';

describe('a refusal in words', () => {
  const TABLE: readonly (readonly [line: Readonly<Record<string, unknown>>, words: string])[] = [
    [{ rule: 'credentials', reason: 'expired' }, 'The key has expired.'],
    [{ rule: 'preflight' }, 'CORS: the origin of the page, the method or a header is not allowed.'],
    [
      { rule: 'preflight', reason: '' },
      'CORS: the origin of the page, the method or a header is not allowed.',
    ],
    [{ rule: 'grant', reason: 'You need _writer.' }, 'You need _writer.'],
    [{ rule: 'later rule' }, 'later rule'],
    [{ rule: '__proto__', reason: 'constructor' }, 'constructor'],
    [{ reason: 7, rule: null }, ''],
  ];
  for (const [line, words] of TABLE)
    it(`is "${words}" – ${JSON.stringify(line)}`, () => assert.equal(refusalInWords(line), words));

  it('leads to the page that tells more', () => {
    assert.deepEqual(pageAbout({ rule: 'foreign page' })?.segments, ['cors']);
    assert.deepEqual(pageAbout({ rule: 'owner address', clientIp: '192.0.2.7' })?.parameters, {
      address: '192.0.2.7',
    });
    assert.equal(pageAbout({ rule: 'grant' }), undefined);
  });
});
