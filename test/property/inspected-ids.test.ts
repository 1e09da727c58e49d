// The ids that are found in a body without building it, against JSON.parse. COUCHGATE_PROPERTY_FACTOR=10 takes ten times as many.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type IdPlace } from '../../src/body/document-ids.ts';
import { idsIn } from '../../src/body/inspect.ts';
import { JsonMeter } from '../../src/body/json-meter.ts';
import { structureLimits } from '../../src/body/limits.ts';
import { classOfId, DESIGN, INTERNAL, LOCAL, ORDINARY, RESERVED } from '../../src/catalogue/document-id.ts';
import { type HttpError } from '../../src/http-errors.ts';

const FACTOR = Number(process.env['COUCHGATE_PROPERTY_FACTOR'] ?? 1);
const runs = { numRuns: 3000 * FACTOR };

type Reading = number | 'no JSON' | 'no object' | 'no docs' | 'no document' | 'no text' | 'no UTF-8';

const REASONS: Readonly<Record<string, Reading>> = {
  'invalid UTF-8 JSON': 'no JSON',
  'Request body must be a JSON object': 'no object',
  '`docs` parameter must be an array.': 'no docs',
  'Document must be a JSON object': 'no document',
  'Document id must be a string': 'no text',
  'Document id must be valid UTF-8': 'no UTF-8',
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function idOf(document: unknown): Reading {
  if (!isObject(document)) return 'no document';
  if (!Object.hasOwn(document, '_id')) return ORDINARY;
  const { _id: id } = document;
  if (typeof id !== 'string') return 'no text';
  return /\p{Surrogate}/u.test(id) ? 'no UTF-8' : classOfId(id);
}

/** By way of the value: the last of duplicate keys counts, as for CouchDB. */
function reference(json: Buffer, place: IdPlace): Reading {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json));
  } catch {
    return 'no JSON';
  }
  if (place === 'document-id') return idOf(value);
  if (!isObject(value)) return 'no object';
  if (!Object.hasOwn(value, 'docs') || !Array.isArray(value['docs'])) return 'no docs';
  const all = value['docs'].map(idOf);
  const fault = all.find((reading) => typeof reading !== 'number');
  return fault ?? all.reduce<number>((ids, reading) => ids | Number(reading), 0);
}

/** Nothing passes by unread: every body of a test holds an escape that has to be looked at. */
async function scanned(json: Buffer, place: IdPlace): Promise<Reading> {
  assert.equal(json.includes('\\/'), true);
  try {
    return await idsIn(json, place);
  } catch (error) {
    const reading = REASONS[(error as { readonly reason: string }).reason];
    assert.ok(reading !== undefined, String(error));
    return reading;
  }
}

/** A text in any of JSON's spellings. */
const spelt = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(text, fc.infiniteStream(fc.nat(9))).map(([plain, ways]) => {
    const characters = Array.from({ length: plain.length }, (_, at) => plain.charAt(at));
    const write = (character: string): string => {
      const hex = character.charCodeAt(0).toString(16).padStart(4, '0');
      const way: unknown = ways.next().value;
      if (way === 0) return `\\u${hex}`;
      if (way === 1) return `\\u${hex.toUpperCase()}`;
      if (way === 2 && character === '/') return '\\/';
      return JSON.stringify(character).slice(1, -1);
    };
    return `"${characters.map(write).join('')}"`;
  });

const IDS = [
  ...[
    '_design/x',
    '_design/\ud800',
    '\udc00x',
    '\u{1f600}',
    '_design/',
    '_design',
    '_local/x',
    '_local/purge-x',
    '_local/shard-sync-a',
    '_local/purge',
  ],
  ...['', 'doc', ' _design/x', '_Design/x', '_desig\n/', '_x', '_locäl/', 'é_design/', '_local/shard-sync\t'],
];
const KEYS = ['_id', '_id', '_id', 'docs', 'docs', 'docs', 'x', '__proto__', '_i', '_idd', 'docs\\', ''];
const name = spelt(fc.constantFrom(...KEYS));
const id = spelt(fc.oneof(fc.constantFrom(...IDS), fc.string({ unit: 'grapheme' })));
const SCALARS = ['1', '-0', '0.5e+3', '12E7', '-1.0e-2', 'true', 'false', 'null', '[]', '{}', '"\\ud800"'];
const gap = fc.constantFrom('', '', '', ' ', '\n\t', '\r');

const { value } = fc.letrec<{ value: string; object: string; array: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(...SCALARS),
    id,
    tie('object'),
    tie('array'),
  ),
  object: fc
    .tuple(gap, fc.array(fc.tuple(name, gap, tie('value')), { maxLength: 4 }))
    .map(([space, fields]) => `{${space}${fields.map(([key, pad, of]) => `${key}${pad}:${of}`).join(',')}}`),
  array: fc
    .tuple(gap, fc.array(tie('value'), { maxLength: 4 }))
    .map(([space, members]) => `[${members.join(`${space},`)}${space}]`),
}));

/** Documents and bulk writes more often than anything else. */
const document = fc
  .array(fc.tuple(name, value), { maxLength: 4 })
  .map((fields) => `{${fields.map(([key, of]) => `${key}:${of}`).join(',')}}`);
const bulk = fc
  .array(fc.tuple(name, fc.array(fc.oneof({ weight: 4, arbitrary: document }, value), { maxLength: 3 })))
  .map((fields) => `{${fields.map(([key, docs]) => `${key}:[${docs.join(',')}]`).join(',')}}`);
const body = fc.tuple(gap, fc.oneof(document, bulk, value), gap).map((parts) => parts.join(''));

/** With an escape in it, at a place where it changes nothing. */
const marked = body.map((json) =>
  json.trimStart().startsWith('{') && !/^\s*\{\s*\}/.test(json)
    ? json.replace('{', '{"\\/":1,')
    : `{"\\/":${json}}`,
);
const place = fc.constantFrom<IdPlace>('document-id', 'bulk-ids');

/** Fields that are none of those that are looked for. */
const noise = fc
  .array(fc.tuple(spelt(fc.constantFrom('x', '__proto__', '_i', '_idd', 'docs\\', '')), value), {
    maxLength: 3,
  })
  .map((fields) => fields.map(([key, of]) => `${key}:${of},`).join(''));
/** An object in which a field has this value at last: of duplicates the last counts. */
const withField = (key: string, of: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(noise, fc.option(value), noise, spelt(fc.constant(key)), of, noise)
    .map(([first, duplicate, second, name, last, third]) => {
      const before = duplicate === null ? '' : `"${key}":${duplicate},`;
      return `{${first}${before}${second}${name}:${last},${third}"\\/":1}`;
    });
const plain = noise.map((fields) => `{${fields}"\\/":1}`);
const bulkOf = (of: fc.Arbitrary<string>): fc.Arbitrary<string> => withField('docs', of);
/** An array of ordinary documents, the last or the second of which is this. */
const among = (of: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(plain, of, fc.array(plain, { maxLength: 2 }))
    .map(([before, one, behind]) => `[${[before, one, ...behind].join(',')}]`);
const noText = fc.constantFrom(...SCALARS.filter((text) => !text.startsWith('"')));
const noObject = fc.constantFrom(...SCALARS.filter((text) => text !== '{}'));

interface ClassOfBodies {
  readonly name: string;
  readonly where: IdPlace;
  readonly json: fc.Arbitrary<string>;
  readonly reading: Reading;
}

const CLASSES: readonly ClassOfBodies[] = [
  ...[ORDINARY, DESIGN, LOCAL, INTERNAL, RESERVED].map((reading) => {
    const ids = spelt(fc.constantFrom(...IDS.filter((text) => classOfId(text) === reading)));
    return {
      name: `a document of the class ${reading}`,
      where: 'document-id' as const,
      json: withField('_id', ids),
      reading,
    };
  }),
  ...[DESIGN, LOCAL, INTERNAL, RESERVED].map((reading) => {
    const ids = spelt(fc.constantFrom(...IDS.filter((text) => classOfId(text) === reading)));
    return {
      name: `a document of the class ${reading} among ordinary ones`,
      where: 'bulk-ids' as const,
      json: bulkOf(among(withField('_id', ids))),
      reading: ORDINARY | reading,
    };
  }),
  { name: 'a document without an id', where: 'document-id', json: plain, reading: ORDINARY },
  { name: 'no documents', where: 'bulk-ids', json: bulkOf(fc.constantFrom('[]', '[ ]')), reading: 0 },
  { name: 'documents without an id', where: 'bulk-ids', json: bulkOf(among(plain)), reading: ORDINARY },
  { name: 'an id that is no text', where: 'document-id', json: withField('_id', noText), reading: 'no text' },
  {
    name: 'an id that is not UTF-8',
    where: 'document-id',
    json: withField('_id', fc.constantFrom('"\\udc00x"', '"\\ud800"', '"a\\ud800b"')),
    reading: 'no UTF-8',
  },
  {
    name: 'an id that is no text among others',
    where: 'bulk-ids',
    json: bulkOf(among(withField('_id', noText))),
    reading: 'no text',
  },
  { name: 'docs that are not there', where: 'bulk-ids', json: plain, reading: 'no docs' },
  {
    name: 'docs that are no array',
    where: 'bulk-ids',
    json: bulkOf(fc.constantFrom('1', 'null', '{}', '"x"')),
    reading: 'no docs',
  },
  {
    name: 'no document among others',
    where: 'bulk-ids',
    json: bulkOf(among(noObject)),
    reading: 'no document',
  },
  { name: 'an array', where: 'document-id', json: plain.map((of) => `[${of}]`), reading: 'no document' },
  { name: 'an array', where: 'bulk-ids', json: plain.map((of) => `[${of}]`), reading: 'no object' },
];

describe('the ids in a body', () => {
  it('are those of the value that JSON.parse makes of it', async () => {
    await fc.assert(
      fc.asyncProperty(marked, place, async (json, where) => {
        const bytes = Buffer.from(json);
        assert.equal(await scanned(bytes, where), reference(bytes, where));
      }),
      runs,
    );
  });

  for (const { name: what, where, json, reading } of CLASSES)
    it(`are read as ${reading} – ${what}`, async () => {
      await fc.assert(
        fc.asyncProperty(json, async (text) => {
          const bytes = Buffer.from(text);
          // Escapes of random text may form an id that is not UTF-8, which is a class of its own.
          fc.pre(reading === 'no UTF-8' || reference(bytes, where) !== 'no UTF-8');
          assert.equal(reference(bytes, where), reading);
          assert.equal(await scanned(bytes, where), reading);
        }),
        { numRuns: 200 * FACTOR },
      );
    });

  it('are refused where a body lacks its last byte', async () => {
    await fc.assert(
      fc.asyncProperty(marked, place, async (json, where) => {
        const bytes = Buffer.from(json.trimEnd()).subarray(0, -1);
        assert.equal(reference(bytes, where), 'no JSON');
        assert.equal(await scanned(bytes, where), 'no JSON');
      }),
      { numRuns: 300 * FACTOR },
    );
  });

  it('are refused where JSON.parse refuses the body – one byte changed, left out or put in', async () => {
    const bytes = [...Buffer.from('{}[]":,\\/ueE.-+019 tfn\n\t\0\x1f\x7fx_'), 0x80, 0xc3, 0xed, 0xff, 0xef];
    const change = fc.record({
      at: fc.nat(),
      left: fc.nat(1),
      byte: fc.option(fc.constantFrom(...bytes)),
    });
    await fc.assert(
      fc.asyncProperty(marked, place, change, async (json, where, { at, left, byte }) => {
        const whole = Buffer.from(json);
        const cut = at % (whole.length + 1);
        const into = Buffer.from(byte === null ? [] : [byte]);
        const changed = Buffer.concat([whole.subarray(0, cut), into, whole.subarray(cut + left)]);
        fc.pre(changed.includes('\\/'));
        const expected = reference(changed, where);
        assert.equal(await scanned(changed, where), expected);
      }),
      runs,
    );
  });

  it('are found over the ends of the portions in which a body is read', async () => {
    for (const character of ['x', '\\n', '\\u00e9', '"', 'é'])
      for (let pad = 262_144 - 40; pad < 262_144 + 4; pad += 1) {
        const fill = character === '"' ? `${' '.repeat(pad)}"y"` : `"${'x'.repeat(pad)}${character}"`;
        const json = Buffer.from(`{"a":${fill},"_id":"_design\\/x"}`);
        assert.equal(await scanned(json, 'document-id'), 2, `${character} after ${pad}`);
      }
  });
});

describe('internal ids in a measured body', () => {
  const longest = Array.from('_local/shard-sync-', (one) => `\\u00${one.charCodeAt(0).toString(16)}`).join(
    '',
  );
  const internal = fc.constantFrom('"_local/shard-sync-a"', '"_local/purge-x"', `"${longest}"`);
  const of = fc.oneof({ weight: 2, arbitrary: internal }, id, value);
  const field = fc.tuple(name, gap, gap, of);
  const top = fc.tuple(name, fc.array(fc.array(field, { maxLength: 3 }), { maxLength: 3 }));
  const size = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 40, max: 400 }));
  const refusalOf = (body: Buffer, sizes: readonly number[]): HttpError | undefined => {
    const bytes = { maxBodyBytes: Infinity, maxJsonBody: Infinity };
    const values = { maxWriteValues: Infinity, maxQueryValues: Infinity };
    const limits = structureLimits({ id: 'bulk-docs', body: 'bulk' }, '', { ...bytes, ...values });
    assert.ok(limits !== undefined, 'a bulk write is measured');
    const meter = new JsonMeter(limits);
    let refusal: HttpError | undefined;
    for (let at = 0, chunk = 0; at < body.length && refusal === undefined; chunk += 1) {
      const to = at + (sizes[chunk % sizes.length] ?? 1);
      refusal = meter.add(body.subarray(at, to));
      at = to;
    }
    return refusal;
  };

  it('are found where a document has its _id, and nowhere else, whatever the pieces', () => {
    fc.assert(
      fc.property(fc.array(top), fc.array(size, { minLength: 1, maxLength: 5 }), (members, sizes) => {
        const written = members.map(([key, docs]) => {
          const texts = docs.map(
            (fields) => `{${fields.map(([of, a, b, what]) => `${of}${a}:${b}${what}`).join(',')}}`,
          );
          return `${key}:[${texts.join(',')}]`;
        });
        const body = Buffer.from(`{${written.join(',')}}`);
        const refusal = refusalOf(body, sizes);
        // Also in a duplicate that CouchDB drops.
        const isInternal = members
          .flatMap(([, docs]) => docs.flat())
          .filter(([key]) => JSON.parse(key) === '_id')
          .map(([, , , what]): unknown => JSON.parse(what))
          .some((what) => typeof what === 'string' && classOfId(what) === INTERNAL);
        assert.equal(refusal?.status, isInternal ? 403 : undefined);
      }),
      runs,
    );
  });

  it('are found in two pieces, wherever the first one ends', () => {
    for (const key of ['_id', '\\u005fid', '_\\u0069d', '_i\\u0064']) {
      const body = Buffer.from(`{"docs":[{"x":"_id"},{"_rev":"1-a","${key}" : "${longest}x"}]}`);
      for (let cut = 1; cut < body.length; cut += 1)
        assert.equal(refusalOf(body, [cut, body.length])?.status, 403, `${key} cut at ${cut}`);
    }
  });
});
