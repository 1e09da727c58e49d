// The reading of a target against CouchDB's own, by random spellings. COUCHGATE_PROPERTY_FACTOR=10 takes ten times as many.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseDestination } from '../../src/admit/destination.ts';
import { parseTarget } from '../../src/admit/target.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { type Target } from '../../src/catalogue/operation.ts';
import { HttpError } from '../../src/http-errors.ts';
import { bytesOf, couchReading, routed, spell } from '../support/couch-path.ts';
import { testSettings } from '../support/settings.ts';

const FACTOR = Number(process.env['COUCHGATE_PROPERTY_FACTOR'] ?? 1);
const runs = (number: number) => ({ numRuns: number * FACTOR });
const LIMITS = { maxUrlBytes: 65_536 };
const classify = createClassify(testSettings());

/** Undefined where the target is refused; anything but a refusal is a fault. */
function read(raw: string): Target | undefined {
  try {
    return parseTarget(raw, LIMITS);
  } catch (thrown) {
    if (thrown instanceof HttpError && thrown.status === 400) return undefined;
    throw thrown;
  }
}

const WORDS = [
  ...['db', 'a/b', 'x/_users', 'EP', 'couchgate', '_users', '_replicator', '_node', '_local', '_config'],
  ...[
    'doc',
    'a b',
    'a+b',
    '100%',
    'ü',
    '_design',
    '_design/x',
    '_local/x',
    '_local/purge-x',
    '_view',
    '_rewrite',
  ],
  ...[
    '_all_docs',
    '_security',
    '_partition',
    'p',
    '_index',
    '_bulk_docs',
    '_changes',
    '_find',
    '_update',
    'queries',
  ],
  ...[
    '_api',
    'v2',
    'api_keys',
    'api',
    '_session',
    '_up',
    '_dbs',
    '_cluster_setup',
    '_show',
    '_list',
    '_info',
    '_x',
  ],
  ...['_design%2Fx', 'a/../b', '...', '%', '/', 'doc#x', '\u{1f600}'],
  ...['.', '..', '_design/..', '_local/.', '\0', 'a\0b', '../x', '_design/\0'],
];
const segment = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...WORDS) },
  { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 6, unit: 'grapheme' }) },
);
const isName = (text: string): boolean => text !== '';
/** Dots and NUL are names inside a database only; a document id is not empty. */
const isReadable = (names: readonly string[]): boolean => {
  const [first = '', second] = names;
  const isOutside = first.startsWith('_') && first !== '_users' && first !== '_replicator';
  const outside = isOutside ? names : [first];
  if (outside.some((name) => ['.', '..'].includes(name) || name.includes('\0'))) return false;
  return second !== '_design/' && second !== '_local/';
};
const segments = fc.array(segment.filter(isName), { maxLength: 6 }).filter(isReadable);
const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'PATCH');
const choices = fc.array(fc.nat(59), { minLength: 1, maxLength: 40 });

/** Bytes that mean something in a target come more often than others. */
const rawTarget = fc
  .array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          '/',
          '//',
          '%',
          '%2F',
          '%2f',
          '+',
          '?',
          '#',
          '.',
          '..',
          '%2e',
          '%00',
          '%ff',
        ),
      },
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          '_design',
          '%5Fdesign',
          '_local',
          'db',
          'doc',
          '_security',
          '%zz',
          '%c3%bc',
        ),
      },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) },
    ),
    { maxLength: 12 },
  )
  .map((parts) => `/${parts.join('')}`);

describe('the reading of a target', () => {
  it('is the same again for what is sent of it – parse, re-encode, parse', () => {
    fc.assert(
      fc.property(segments, choices, fc.webQueryParameters(), (names, spelling, query) => {
        const target = parseTarget(
          `${spell(names.map(bytesOf), spelling)}?${query}`.replaceAll("'", '%27'),
          LIMITS,
        );
        assert.deepEqual(parseTarget(target.path + target.query, LIMITS), target);
      }),
      runs(30_000),
    );
  });

  it('is the one that CouchDB has of what is sent', () => {
    fc.assert(
      fc.property(segments, choices, (names, spelling) => {
        const raw = spell(names.map(bytesOf), spelling);
        const { path, segments: own } = parseTarget(raw, LIMITS);
        const couch = couchReading(path);
        assert.ok('segments' in couch, path);
        assert.deepEqual(couch.segments, own.map(bytesOf), 'CouchDB reads in what is sent what was judged');
        assert.deepEqual(
          routed(couch.segments),
          routed(names.map(bytesOf)),
          'and goes where it would have gone',
        );
      }),
      runs(30_000),
    );
  });

  it('decides no two spellings of one CouchDB path differently', () => {
    fc.assert(
      fc.property(segments, method, choices, choices, (names, verb, one, other) => {
        const destination = parseDestination('copy');
        const operations = [one, other].map((spelling) =>
          classify(verb, parseTarget(spell(names.map(bytesOf), spelling), LIMITS), destination),
        );
        assert.deepEqual(operations[0], operations[1]);
      }),
      runs(30_000),
    );
  });

  it('decides an id with an escaped slash as the one without – _design%2Fx, _local%2Fx', () => {
    const first = fc.constantFrom('db', 'a/b', '_users', '_replicator', 'x/_replicator');
    const rest = fc.array(segment.filter(isName), { maxLength: 4 });
    fc.assert(
      fc.property(
        first,
        fc.constantFrom('_design', '_local'),
        segment.filter(isName),
        rest,
        method,
        (db, kind, name, more, verb) => {
          const destination = parseDestination('_design/copy');
          const joined = parseTarget(spell([db, `${kind}/${name}`, ...more].map(bytesOf), [0]), LIMITS);
          const apart = parseTarget(spell([db, kind, name, ...more].map(bytesOf), [0]), LIMITS);
          assert.deepEqual(joined, apart);
          assert.deepEqual(classify(verb, joined, destination), classify(verb, apart, destination));
        },
      ),
      runs(10_000),
    );
  });

  it('refuses any bytes, or sends what CouchDB reads as it would have read them', () => {
    fc.assert(
      fc.property(rawTarget, (raw) => {
        const target = read(raw);
        if (target === undefined) return;
        const before = couchReading(raw);
        const sent = couchReading(target.path);
        assert.ok('segments' in before && 'segments' in sent, raw);
        assert.deepEqual(routed(sent.segments), routed(before.segments));
        assert.ok(!raw.includes('#'), 'nothing is cut that others would not cut');
        assert.deepEqual(parseTarget(target.path + target.query, LIMITS), target);
      }),
      runs(40_000),
    );
  });
});
