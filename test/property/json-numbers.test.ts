// JSON that Couchgate parses and writes again keeps the value of every number, and everything else as JSON.parse and
// JSON.stringify do. COUCHGATE_PROPERTY_FACTOR=10 takes ten times as many.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { numberIn, writeJson } from '../../src/json/exact-numbers.ts';
import { jsonPieces } from '../../src/json/pieces.ts';
import { buildInPortions } from '../../src/json/portions.ts';
import { parseJson, parseStored } from '../../src/json/parse.ts';
import { BadRequest } from '../../src/http-errors.ts';

const FACTOR = Number(process.env['COUCHGATE_PROPERTY_FACTOR'] ?? 1);

const exactly = (json: string): unknown => parseJson(Buffer.from(json), true);

/** Sign, digits without zeros at either end, and power of ten: the same for two spellings of one value. */
function valueOf(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/u.exec(number) ?? assert.fail(number);
  const digits = BigInt(whole + fraction);
  if (digits === 0n) return '0';
  const [, significant = '', zeros = ''] = /^(\d*?)(0*)$/u.exec(String(digits)) ?? [];
  return `${sign}${significant}e${Number(exponent) - fraction.length + zeros.length}`;
}

const digits = fc.stringMatching(/^[0-9]{1,40}$/u);
const number = fc
  .record({
    sign: fc.constantFrom('', '-'),
    whole: digits.map((text) => text.replace(/^0+(?=\d)/u, '')),
    fraction: fc.option(digits, { nil: undefined }),
    exponent: fc.option(fc.stringMatching(/^[eE][-+]?[0-9]{1,2}$/u), { nil: undefined }),
  })
  .map(({ sign, whole, fraction, exponent }) =>
    [sign, whole, fraction === undefined ? '' : `.${fraction}`, exponent ?? ''].join(''),
  );

/** JSON with such numbers in it, and its numbers in their order. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  number,
  number.map((each) => `"${each}`),
);
const name = fc.constantFrom('k', 'toJSON', '__proto__', 'a long name \u{1f600}\u0001', 'hasOwnProperty');
const { json } = fc.letrec<{ json: { text: string; numbers: readonly string[] } }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    number.map((each) => ({ text: each, numbers: [each] })),
    text.map((each) => ({ text: JSON.stringify(each), numbers: [] })),
    fc.constantFrom('true', 'null', '[]', '{}').map((each) => ({ text: each, numbers: [] })),
    fc.array(tie('json'), { maxLength: 4 }).map((parts) => ({
      text: `[ ${parts.map((part) => part.text).join(' ,')}]`,
      numbers: parts.flatMap((part) => part.numbers),
    })),
    fc.tuple(fc.array(tie('json'), { maxLength: 4 }), name).map(([parts, first]) => ({
      // Keys that are no array indexes keep their order.
      text: `{${parts.map((part, at) => `${JSON.stringify(at === 0 ? first : `k"${at}`)}: ${part.text}`).join(',')}}`,
      numbers: parts.flatMap((part) => part.numbers),
    })),
  ),
}));

const numbersOf = (written: string): readonly string[] =>
  written.replace(/"(?:[^"\\]|\\.)*"/gu, '""').match(/-?\d[\d.eE+-]*/gu) ?? [];

describe('JSON that is written again', () => {
  it('is the same in pieces, which are short and do not end within a surrogate pair', () => {
    fc.assert(
      fc.property(json, fc.integer({ min: 2, max: 40 }), (sent, length) => {
        const value = exactly(sent.text);
        const pieces = [...jsonPieces(value, length)];
        assert.equal(pieces.join(''), writeJson(value));
        const longest = Math.max(...sent.numbers.map((each) => each.length), 30);
        for (const piece of pieces) {
          assert.ok(piece.length <= 7 * length + 2 * longest, piece);
          assert.equal(Buffer.from(piece).toString(), piece);
        }
      }),
      { numRuns: 1000 * FACTOR },
    );
  });

  it('keeps the value of every number, in every place, also if it is read in portions', async () => {
    await fc.assert(
      fc.asyncProperty(json, async (sent) => {
        const written = writeJson(exactly(sent.text));
        assert.deepEqual(numbersOf(written).map(valueOf), sent.numbers.map(valueOf));
        assert.equal(writeJson(await buildInPortions(Buffer.from(sent.text), true)), written);
        // The rest is as without exact numbers.
        assert.deepEqual(JSON.parse(written), JSON.parse(JSON.stringify(JSON.parse(sent.text))));
      }),
      { numRuns: 1000 * FACTOR },
    );
  });

  it('has any depth, and no member that is undefined', () => {
    const deep = `${'[1,{"a":'.repeat(150_000)}12345678901234567890${',"b":[]},2]'.repeat(150_000)}`;
    const value = parseStored(Buffer.from(deep));
    assert.equal(writeJson(value), deep);
    const answer = { ok: true, none: undefined, changes: [undefined, { more: undefined }], value };
    assert.equal(writeJson(answer), `{"ok":true,"changes":[null,{}],"value":${deep}}`);
    assert.throws(() => exactly(deep), BadRequest);
  });

  it('reads a number alone as it reads it in a text', () => {
    fc.assert(
      fc.property(number, (each) => {
        assert.equal(writeJson(numberIn(each)), writeJson(exactly(each)));
      }),
    );
  });

  for (const [sent, written] of [
    ['12345678901234567890', '12345678901234567890'],
    ['1.10', '1.1'],
    ['-0', '0'],
    ['1E2', '100'],
    ['0.1e-6', '1e-7'],
    ['100000000000000000000000', '1e+23'],
    ['12345678901234567890.50', '12345678901234567890.50'],
    ['9'.repeat(400), '9'.repeat(400)],
    ['1e-400', '1e-400'],
  ] as const) {
    it(`keeps ${sent.slice(0, 30)}`, () => {
      const body = `{"a":[${sent}],"__proto__":{"b":${sent}}}`;
      const expected = written === '1e+23' ? sent : written;
      const text = writeJson(exactly(body));
      assert.deepEqual(numbersOf(text).map(valueOf), [expected, expected].map(valueOf));
      assert.match(text, /"__proto__":\{"b":/u);
    });
  }

  for (const sent of ['1e400', '-1.0e309', '1e99999999999999999999', '1'.repeat(400) + '.0']) {
    it(`refuses what CouchDB refuses – ${sent.slice(0, 20)} – 400 invalid UTF-8 JSON`, () => {
      for (const body of [sent, `[${sent}]`, `{"a":{"b":${sent}}}`])
        assert.throws(
          () => exactly(body),
          (error) => error instanceof BadRequest && error.reason === 'invalid UTF-8 JSON',
        );
    });
  }

  it('holds no exact number that passes for an object, a string or a number', () => {
    const { a } = exactly('{"a":12345678901234567890}') as { readonly a: unknown };
    assert.equal(typeof a !== 'object' && typeof a !== 'string' && typeof a !== 'number', true);
    assert.equal(JSON.stringify({ a }), '{"a":12345678901234567000}');
  });

  it('is read in the time of its length', () => {
    const long = `[0.${'0'.repeat(2_000_000)}1, ${'1'.repeat(2_000_000)}]`;
    assert.equal(writeJson(exactly(long)), long.replace(' ', ''));
  });
});
