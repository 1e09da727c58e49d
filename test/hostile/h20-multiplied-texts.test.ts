// H20: texts that CouchDB multiplies: a long name above many values of a selector, `_rev`, and fields of attachments.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';

const ROLES = 'reader+writer+design+replicator+admin';
const LONG = 'r'.repeat(2049);
/** The characters of a revision, each as a number: CouchDB's lists and texts are the same to its parser. */
const CODES = JSON.stringify([...Buffer.from(`${'1'.repeat(1000)}-a`)]);
const SHORT = `1-${'r'.repeat(2046)}`;
const RELATED = 'multipart/related; boundary=x';
const FORM = 'multipart/form-data; boundary=x';

/** So many values below one name of 60 000 bytes: 17 have more than a mebibyte of paths. */
const selector = (values: number): string =>
  `{"${'n'.repeat(60_000)}":{${Array.from({ length: values }, (_, at) => `"${at}":1`).join(',')}}}`;
const related = (json: string): string => `--x\r\n\r\n${json}\r\n--x--`;
const form = (json: string): string =>
  `--x\r\nContent-Disposition: form-data; name="_doc"\r\n\r\n${json}\r\n--x--\r\n`;

const SELECTORS: readonly (readonly [line: string, field: string])[] = [
  ['POST /h20/_find', 'selector'],
  ['POST /h20/_explain', 'selector'],
  ['POST /h20/_partition/p/_find', 'selector'],
  ['POST /h20/_partition/p/_explain', 'selector'],
  ['POST /h20/_index', 'partial_filter_selector'],
  ['POST /h20/_changes?filter=_selector', 'selector'],
];
const WRITES: readonly (readonly [line: string, bodyOf: (document: string) => string, type?: string])[] = [
  ['PUT /h20/a', String],
  ['PUT /h20/_local/a', String],
  ['PUT /h20/_design/a', String],
  ['POST /h20', String],
  ['POST /h20/_bulk_docs', (document) => `{"docs":[{"_id":"b"},${document}],"new_edits":false}`],
  ['PUT /h20/a', related, RELATED],
  ['POST /h20/a', form, FORM],
];
const ENCODING = (data: string): string =>
  `{"_id":"a","_attachments":{"a.txt":{"data":"${data}","encoding":"${LONG}"}}}`;
const REFUSED: readonly (readonly [title: string, document: string])[] = [
  ['_rev', `{"_id":"a","_rev":"${LONG}"}`],
  ['_rev with escapes', `{"_id":"a", "\\u005f\\u0072ev" : "${LONG}"}`],
  ['the second _rev', `{"_id":"a","_rev":"1-a","_rev":"${LONG}"}`],
  ['the encoding of an attachment', ENCODING('')],
  ['an encoding after much data', ENCODING('AAAA'.repeat(1000))],
];
const PERMITTED = `{"_id":"a","_rev":"${SHORT}","b":"${LONG}","c":{"_rev":"${LONG}","d":{"_rev":${CODES}}},"e":${CODES},"_attachments":{"a":{"data":"${'AAAA'.repeat(1000)}"}}}`;

const REVISIONS: readonly (readonly [line: string, bodyOf: (revision: string) => string])[] = [
  ['POST /h20/_revs_diff', (revision) => `{"${LONG}":["1-a", "${revision}"]}`],
  ['POST /h20/_missing_revs', (revision) => `{"a":["1-a"],"${LONG}":["${revision}"]}`],
  ['POST /h20/_purge', (revision) => `{"a":["${revision}"]}`],
  ['POST /h20/_bulk_get', (revision) => `{"docs":[{"id":"${LONG}","rev":"${revision}"}]}`],
  [
    'POST /h20/_bulk_get',
    (revision) => `{"docs":[{"id":"${LONG}","rev":"1-a","atts_since":["1-b","${revision}"]}]}`,
  ],
];

describe('H20 a text that CouchDB multiplies', () => {
  let front: PolicyFront;
  before(async () => (front = await startPolicyFront()));
  after(() => front.close());

  /** Sends the body plain and, if it is no multipart body, in gzip. Returns the distinct answers. */
  async function answersTo(line: string, body: string, type = 'application/json'): Promise<string> {
    const [method = '', path = ''] = line.split(' ');
    const answers = new Set<string>();
    for (const isGzip of type === 'application/json' ? [false, true] : [false]) {
      const answer = await fetch(`${front.url}${path}`, {
        method,
        body: isGzip ? gzipSync(body) : body,
        headers: {
          'x-test-caller': ROLES,
          'content-type': type,
          ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
        },
      });
      answers.add(`${answer.status} ${(await answer.text()).trim()}`);
    }
    return [...answers].join('\n');
  }

  for (const [line, field] of SELECTORS)
    it(`is refused above many values of a selector, and permitted above few – ${line} – 413`, async () => {
      assert.match(await answersTo(line, `{"${field}":${selector(18)}}`), /^413 .*below long names.*$/);
      assert.deepEqual(front.takeAll(), []);
      assert.match(await answersTo(line, `{"${field}":${selector(10)}}`), /^200 [^\n]*$/);
      assert.equal(front.takeAll().length, 2);
    });

  for (const [line, bodyOf] of REVISIONS)
    it(`is refused as a revision, of which CouchDB reads a number – ${line}, ${bodyOf('…').slice(-18)} – 413`, async () => {
      assert.match(await answersTo(line, bodyOf(LONG)), /^413 .* too long.*$/);
      assert.deepEqual(front.takeAll(), []);
      assert.match(await answersTo(line, bodyOf(SHORT)), /^200 [^\n]*$/);
      assert.equal(front.takeAll().length, 2);
    });

  for (const [line, bodyOf] of REVISIONS)
    it(`is refused as an array in place of a revision – ${line}, ${bodyOf('…').slice(-18)} – 400`, async () => {
      const body = bodyOf('…').replace('"…"', CODES);
      assert.match(await answersTo(line, body), /^400 .*Invalid rev format[^\n]*$/);
      assert.deepEqual(front.takeAll(), []);
    });

  for (const line of ['POST /_replicate', 'PUT /_replicator/job'])
    it(`is refused in a job, in its selector and as its _rev – ${line} – 400`, async () => {
      const job = (fields: string): string =>
        `{"source":"http://far.example/a","target":"http://far.example/b",${fields}}`;
      const many = `{"$or":[${'{},'.repeat(10_000)}{}]}`;
      for (const fields of [`"selector":${selector(18)}`, `"selector":${many}`])
        assert.match(await answersTo(line, job(fields)), /^400 .*`selector` must be .*$/);
      assert.match(await answersTo(line, job(`"_rev":"${LONG}"`)), /^400 .*`_rev` must be /);
      assert.doesNotMatch(await answersTo(line, job(`"selector":${selector(10)}`)), /must be/);
      front.takeAll();
    });

  for (const [line, bodyOf, type] of WRITES) {
    for (const [title, document] of REFUSED)
      it(`is refused in a document – ${line}, ${type ?? 'JSON'}, ${title} – 413`, async () => {
        assert.match(await answersTo(line, bodyOf(document), type), /^413 .*a string .* is too long.*$/);
        assert.deepEqual(front.takeAll(), []);
      });
    for (const [name, from] of [
      ['_rev', '"_rev":'],
      ['an escaped _rev behind a number', '"_rev":1,"\\u005frev" : '],
    ] as const)
      it(`is refused as an array in a document – ${line}, ${type ?? 'JSON'}, ${name} – 400`, async () => {
        const document = `{"_id":"a",${from}${CODES}}`;
        assert.match(await answersTo(line, bodyOf(document), type), /^400 .*Invalid rev format[^\n]*$/);
        assert.deepEqual(front.takeAll(), []);
      });
    it(`is permitted where CouchDB keeps it as it is – ${line}, ${type ?? 'JSON'} – 200`, async () => {
      assert.match(await answersTo(line, bodyOf(PERMITTED), type), /^200 [^\n]*$/);
      front.takeAll();
    });
  }
});
