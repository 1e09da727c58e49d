// What a body is measured to hold, in pieces of any size, against its value. COUCHGATE_PROPERTY_FACTOR=10 takes ten times as many.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SHORT_TEXT_BYTES } from '../../src/body/document-fields.ts';
import { JsonMeter, type StructureLimits } from '../../src/body/json-meter.ts';

const FACTOR = Number(process.env['COUCHGATE_PROPERTY_FACTOR'] ?? 1);
const runs = { numRuns: 2000 * FACTOR };
/** Their bodies are longer. */
const documentRuns = { numRuns: 500 * FACTOR };

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

/** Bytes of the paths to all values, and to empty objects and arrays once more: what `pathBytes` limits. */
function pathBytesIn(json: unknown, above = 0): number {
  if (typeof json !== 'object' || json === null) return 0;
  const isList = Array.isArray(json);
  const inner = Object.entries(json).map(([name, one]): number => {
    const path = above + (isList ? 0 : Buffer.byteLength(JSON.stringify(name)) - 1);
    return path + pathBytesIn(one, path);
  });
  return inner.length === 0 ? above : inner.reduce((sum, one) => sum + one, 0);
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

const NAMES = ['_rev', '_attachments', '_id', '_a', 'data', 'encoding', 'b'];
const LONG_NAMES = ['_', '_i', 'c'].map((start) => start.padEnd(SHORT_TEXT_BYTES + 1, 'd'));
const texts = fc.oneof(
  fc.constantFrom(...NAMES, '_'.padEnd(SHORT_TEXT_BYTES, 'e'), '\\', 7),
  fc.constantFrom('_', 'f').map((start) => start.padEnd(SHORT_TEXT_BYTES + 1, 'g')),
);
const documentNames = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...NAMES) },
  fc.constantFrom(...LONG_NAMES),
);
const { document } = fc.letrec<{ document: Readonly<Record<string, unknown>>; inner: unknown }>((tie) => ({
  document: fc.dictionary(documentNames, tie('inner'), { maxKeys: 4, noNullPrototype: true }),
  inner: fc.oneof({ depthSize: 'small' }, texts, tie('document')),
}));

const isObject = (json: unknown): json is object => typeof json === 'object' && json !== null;
const isLong = (json: unknown): boolean => typeof json === 'string' && json.length > SHORT_TEXT_BYTES;

/** True if CouchDB would make a long list of characters of something in the document, or may take it for one. */
function isLongDocument(json: Readonly<Record<string, unknown>>): boolean {
  const { _rev, _attachments } = json;
  const attachments = (isObject(_attachments) ? Object.values(_attachments) : []).filter(isObject);
  return (
    isLong(_rev) ||
    (typeof _rev === 'object' && _rev !== null) ||
    Object.keys(json).some((name) => name.startsWith('_') && isLong(name)) ||
    attachments
      .flatMap((one) => Object.entries(one))
      .some(([name, one]) => isLong(name) || (name !== 'data' && isLong(one)))
  );
}

/** The same JSON with white space, and with escapes in the names that matter. */
const respelled = (json: string): string =>
  json
    .replaceAll('"_rev"', ' "\\u005fre\\u0076"\n')
    .replaceAll('"_attachments"', '\t"_\\u0061ttachments" ')
    .replaceAll('"data"', '"d\\u0061ta"');

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
        const pathBytes = pathBytesIn(json);
        assert.equal(passes(body, pieces, { pathBytes }), true);
        if (pathBytes > 0) assert.equal(passes(body, pieces, { pathBytes: pathBytes - 1 }), false);
      }),
      runs,
    );
  });

  it('refuses a document with a long text that CouchDB makes a list of, and no other', () => {
    fc.assert(
      fc.property(fc.array(document, { minLength: 1, maxLength: 3 }), sizes, (docs, pieces) => {
        const [first = {}] = docs;
        const one = JSON.stringify(first);
        for (const spell of [String, respelled]) {
          assert.equal(passes(Buffer.from(spell(one)), pieces, { documentLevel: 1 }), !isLongDocument(first));
          assert.equal(passes(Buffer.from(spell(one)), pieces, {}), true);
          assert.equal(
            passes(Buffer.from(spell(`{"docs":${JSON.stringify(docs)}}`)), pieces, { documentLevel: 3 }),
            !docs.some(isLongDocument),
          );
        }
      }),
      documentRuns,
    );
  });
});
