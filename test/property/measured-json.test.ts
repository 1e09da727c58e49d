// What a body is measured to hold, in pieces of any size, against its value. COUCHGATE_PROPERTY_FACTOR=10 takes ten times as many.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JsonMeter, type StructureLimits } from '../../src/body/json-meter.ts';

const FACTOR = Number(process.env['COUCHGATE_PROPERTY_FACTOR'] ?? 1);
const runs = { numRuns: 2000 * FACTOR };

const NO_LIMITS: StructureLimits = {
  values: Infinity,
  perDocument: 0,
  members: Infinity,
  stringBytes: Infinity,
  mayHoldTerms: false,
};

/** Texts around the length from which strings are searched, with quotes and backslashes in every place. */
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('"', '\\', 'x', ',', '[', '{', 'ä', '\n', '7'), maxLength: 80 }),
  fc.tuple(fc.nat(70), fc.constantFrom('"', '\\', '\\"', '')).map(([n, end]) => 'y'.repeat(n) + end),
);

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null)),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(text, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

/** Opening brackets and commas: what `StructureLimits.values` counts. */
function valuesIn(json: unknown): number {
  if (typeof json !== 'object' || json === null) return 0;
  const inner: readonly unknown[] = Object.values(json);
  return 1 + Math.max(0, inner.length - 1) + inner.reduce<number>((sum, one) => sum + valuesIn(one), 0);
}

/** Bytes of the longest string, names included, as it is written and with its closing quote; 0 = no string. */
function longestIn(json: unknown): number {
  if (typeof json === 'string') return Buffer.byteLength(JSON.stringify(json)) - 1;
  if (typeof json !== 'object' || json === null) return 0;
  const names = Array.isArray(json) ? [] : Object.keys(json);
  return Math.max(0, ...[...names, ...(Object.values(json) as unknown[])].map(longestIn));
}

function mostMembers(json: unknown): number {
  if (typeof json !== 'object' || json === null) return 0;
  const own = Array.isArray(json) ? 0 : Object.keys(json).length;
  return Math.max(own, ...(Object.values(json) as unknown[]).map(mostMembers));
}

/** True if the meter passes the body, which arrives in pieces of these sizes. */
function passes(body: Buffer, sizes: readonly number[], limits: Partial<StructureLimits>): boolean {
  const meter = new JsonMeter({ ...NO_LIMITS, ...limits });
  for (let at = 0, piece = 0; at < body.length; piece += 1) {
    const to = at + (sizes[piece % sizes.length] ?? 1);
    if (meter.add(body.subarray(at, to)) !== undefined) return false;
    at = to;
  }
  return true;
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 30, max: 200 })), {
  minLength: 1,
  maxLength: 6,
});

describe('the measure of a JSON body', () => {
  it('passes what the value holds and refuses one more, whatever the pieces', () => {
    fc.assert(
      fc.property(value, sizes, (json, pieces) => {
        const body = Buffer.from(JSON.stringify(json));
        const values = valuesIn(json);
        const longest = longestIn(json);
        const members = mostMembers(json);
        assert.equal(passes(body, pieces, { values }), true);
        assert.equal(passes(body, pieces, { values: values - 1 }), values === 0);
        assert.equal(passes(body, pieces, { stringBytes: longest }), true);
        assert.equal(passes(body, pieces, { stringBytes: longest - 1 }), longest === 0);
        assert.equal(passes(body, pieces, { members: Math.max(1, members) }), true);
        if (members > 1) assert.equal(passes(body, pieces, { members: members - 1 }), false);
      }),
      runs,
    );
  });
});
