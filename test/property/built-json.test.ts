// The value that is built in portions, against the strict parser. COUCHGATE_PROPERTY_FACTOR=10 takes ten times as many.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { buildJson } from '../../src/body/json-build.ts';
import { buildInPortions } from '../../src/json/portions.ts';
import { parseJson } from '../../src/json/parse.ts';

const FACTOR = Number(process.env['COUCHGATE_PROPERTY_FACTOR'] ?? 1);
const runs = { numRuns: 3000 * FACTOR };

type Reading = { readonly value: unknown } | { readonly reason: string };

const reasonOf = (error: unknown): Reading => ({ reason: (error as { readonly reason: string }).reason });

/** By way of JSON.parse, which takes lone surrogates. */
function reference(json: Buffer): Reading {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json);
    const value: unknown = JSON.parse(text);
    if (!hasLoneSurrogate(text)) return { value };
  } catch {
    // Falls through.
  }
  return { reason: 'invalid UTF-8 JSON' };
}

function hasLoneSurrogate(json: string): boolean {
  const escapes = json.replaceAll(/\\u(d[89ab]..)\\u(d[cdef]..)|\\[^u]/giu, '');
  return /\\ud[89a-f]/iu.test(escapes);
}

const parsed = (json: Buffer): Reading => {
  try {
    return { value: parseJson(json) };
  } catch (error) {
    return reasonOf(error);
  }
};

const built = (json: Buffer): Promise<Reading> =>
  buildInPortions(json, false).then((value) => ({ value }), reasonOf);

/** A text in any of JSON's spellings, also with halves of surrogate pairs. */
const text = fc
  .tuple(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('__proto__', 'constructor', '1', '01', 'a', '\ud83d\ude00'),
    ),
    fc.infiniteStream(fc.nat(9)),
  )
  .map(([plain, ways]) => {
    const write = (unit: string): string => {
      const hex = unit.charCodeAt(0).toString(16).padStart(4, '0');
      const way: unknown = ways.next().value;
      if (way === 0 || (unit >= '\ud800' && unit <= '\udfff')) return `\\u${hex}`;
      if (way === 1) return `\\u${hex.toUpperCase()}`;
      return way === 2 && unit === '/' ? '\\/' : JSON.stringify(unit).slice(1, -1);
    };
    return `"${Array.from({ length: plain.length }, (_, at) => write(plain.charAt(at))).join('')}"`;
  });

const SCALARS = [
  ...['1', '-0', '0', '0.5e+3', '12E7', '-1.0e-2', '1e999', '9007199254740993', '18446744073709551616'],
  ...['true', 'false', 'null', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\ud83dx"', '"\\\\u"'],
];
const gap = fc.constantFrom('', '', '', ' ', '\n\t', '\r');
const { value } = fc.letrec<{ value: string; object: string; array: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom(...SCALARS),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => JSON.stringify(number)),
    text,
    tie('object'),
    tie('array'),
  ),
  object: fc
    .tuple(gap, fc.array(fc.tuple(text, gap, tie('value')), { maxLength: 5 }))
    .map(([space, fields]) => `{${space}${fields.map(([key, pad, of]) => `${key}${pad}:${of}`).join(',')}}`),
  array: fc
    .tuple(gap, fc.array(tie('value'), { maxLength: 5 }))
    .map(([space, members]) => `[${members.join(`${space},`)}${space}]`),
}));
const body = fc.tuple(gap, value, gap).map((parts) => parts.join(''));

describe('a JSON body that is built in portions', () => {
  it('has the value that the strict parser gives it, members in the same order', async () => {
    const kinds = new Set<boolean>();
    await fc.assert(
      fc.asyncProperty(body, async (json) => {
        const bytes = Buffer.from(json);
        const expected = reference(bytes);
        kinds.add('value' in expected);
        const reading = await built(bytes);
        assert.deepStrictEqual(reading, expected);
        assert.deepStrictEqual(parsed(bytes), expected);
        assert.equal(JSON.stringify(reading), JSON.stringify(expected));
      }),
      runs,
    );
    assert.equal(kinds.size, 2);
  });

  it('is refused where the strict parser refuses it – one byte changed, left out or put in', async () => {
    const bytes = [...Buffer.from('{}[]":,\\/ueE.-+019 tfn\n\t\0\x1f\x7fx_'), 0x80, 0xc3, 0xed, 0xff, 0xef];
    const change = fc.record({
      at: fc.nat(),
      left: fc.nat(1),
      byte: fc.option(fc.constantFrom(...bytes)),
    });
    await fc.assert(
      fc.asyncProperty(body, change, async (json, { at, left, byte }) => {
        const whole = Buffer.from(json);
        const cut = at % (whole.length + 1);
        const into = Buffer.from(byte === null ? [] : [byte]);
        const changed = Buffer.concat([whole.subarray(0, cut), into, whole.subarray(cut + left)]);
        const expected = reference(changed);
        assert.deepStrictEqual(await built(changed), expected);
        assert.deepStrictEqual(parsed(changed), expected);
      }),
      runs,
    );
  });

  it('is whole over the ends of portions', async () => {
    for (const character of ['x', '\\n', '\\u00e9', '\\ud83d\\ude00', 'é', '😀'])
      for (let pad = 65_536 - 30; pad < 65_536 + 4; pad += 1) {
        const json = Buffer.from(`{"a":"${'x'.repeat(pad)}${character}","b":[-1.5e3,true]}`);
        assert.deepStrictEqual(await built(json), reference(json), `${character} after ${pad}`);
      }
  });

  it('is never given to JSON.parse past 256 KiB, and lets others have their turn', async () => {
    const json = Buffer.from(`[${'{"a":"bcdefgh"},'.repeat(50_000)}{}]`);
    const expected = reference(json);
    const parse = JSON.parse;
    let turns = 0;
    const state = { isBuilt: false };
    JSON.parse = () => assert.fail('JSON.parse was called');
    try {
      const reading = buildJson(json).finally(() => (state.isBuilt = true));
      while (!state.isBuilt) {
        await new Promise(setImmediate);
        turns += 1;
      }
      assert.deepStrictEqual({ value: await reading }, expected);
    } finally {
      JSON.parse = parse;
    }
    assert.ok(turns > 8, `${turns} turns`);
  });

  it('is refused where it is too deep or has too many values – 400, 413', async () => {
    for (const size of [2000, 400_000])
      await assert.rejects(buildJson(Buffer.from(`${'['.repeat(size)}${']'.repeat(size)}`)), { status: 400 });
    await assert.rejects(buildJson(Buffer.from(`[${'[],'.repeat(300_000)}1]`)), { status: 413 });
    await assert.rejects(buildInPortions(Buffer.from(`[${'[],'.repeat(300_000)}1]`), false), { status: 413 });
    await assert.rejects(buildInPortions(Buffer.from(`${'['.repeat(2000)}${']'.repeat(2000)}`), false), {
      status: 400,
    });
  });
});
