// H20: the JSON inside multipart bodies. CouchDB parses the first part of multipart/related and the fields of a form as a whole.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { createBodyBudget } from '../../src/body/budget.ts';
import { AtomCount } from '../../src/body/erlang-terms.ts';
import { MultipartMeter, boundaryOf, type MultipartKind } from '../../src/body/multipart-meter.ts';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';
import { exchangeBytes } from '../support/raw-http.ts';

const JSON_LIMIT = 2_000_000;
const values = (count: number): string => `{"a":[${'1,'.repeat(count)}1]}`;
const MANY = values(20_000);
const DEEP = `{"a":${'['.repeat(2000)}${']'.repeat(2000)}}`;
const LONG = `{"a":"${'x'.repeat(JSON_LIMIT)}"}`;
const FEW = values(700);
/** What would be too much as JSON. */
const DATA = `${'[1,'.repeat(30_000)}"{\r\n--y\r\n--`;

const related = (
  json: string,
  data = DATA,
  boundary = 'x',
  header = 'Content-Type: application/json',
): string => `--${boundary}\r\n${header}\r\n\r\n${json}\r\n--${boundary}\r\n\r\n${data}\r\n--${boundary}--`;
const field = (disposition: string, content: string): string =>
  `--x\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`;
const form = (...fields: readonly string[]): string => `${fields.join('')}--x--\r\n`;
const TEXT = field('name="a"', `"${'x'.repeat(600_000)}"`);
const NAME = field(`name="_attachments"; filename="${'x'.repeat(4000)}"`, '');
const ATTACHMENT = field('name="_attachments"; filename="a.csv"', DATA);

interface Row {
  readonly title: string;
  readonly line: string;
  readonly type: string;
  readonly body: string;
  readonly status: number;
}
const PUT = 'PUT /h20/a';
const POST = 'POST /h20/a';
const RELATED = 'multipart/related; boundary=x';
const FORM = 'multipart/form-data; boundary=x';
const put = (title: string, body: string, status: number, type = RELATED): Row => ({
  title,
  line: PUT,
  type,
  body,
  status,
});
const post = (title: string, body: string, status: number, type = FORM): Row => ({
  ...put(title, body, status, type),
  line: POST,
});

const ROWS: readonly Row[] = [
  put('a document with a large attachment', related(FEW), 200),
  put('a document with a preamble', `preamble\r\n${related(FEW)}`, 200),
  put('a quoted boundary', related(FEW), 200, 'multipart/related; boundary="x"'),
  put('too many values', related(MANY), 413),
  put('too many values after a preamble', `"{[\r\n${related(MANY)}`, 413),
  put(
    'too many values after an odd header',
    related(MANY, '', 'x', 'Content-Type: application/json\r\nA: {}"'),
    413,
  ),
  put('too many values without a header', `--x\r\n\r\n${MANY}\r\n--x--`, 413),
  put('too many values and no end', `--x\r\nContent-Type: application/json\r\n\r\n${MANY}`, 413),
  put('the first boundary counts', related(MANY), 413, 'multipart/related; boundary=x; boundary=y'),
  put('too many levels', related(DEEP), 400),
  put('too many bytes', related(LONG), 413),
  put('a part header without end', `--x\r\n${'A: b\r\n'.repeat(2000)}`, 400),
  put('no boundary', related(MANY), 400, 'multipart/related; a=b'),
  put('an escaped boundary', related(MANY), 400, 'multipart/related; boundary="\\x"'),
  put('an unknown multipart type is JSON', MANY, 413, 'multipart/mixed; boundary=x'),
  put('another spelling of the type is JSON', MANY, 413, 'Multipart/Related; boundary=x'),
  put('the type without parameters is JSON', MANY, 413, 'multipart/related'),
  put('a form is JSON', MANY, 413, FORM),
  put('no size is exempt', LONG, 413, 'multipart/mixed; boundary=x'),
  post('a form with an attachment', form(field('name="_doc"', FEW), ATTACHMENT), 200),
  post('an attachment before the document', form(ATTACHMENT, field('name="_doc"', FEW)), 200),
  post('too many values in _doc', form(field('name="_doc"', MANY)), 413),
  post('too many values after an attachment', form(ATTACHMENT, field('name="_doc"', MANY)), 413),
  post('another spelling of the name', form(field('name=_attachments; filename="a"', MANY)), 413),
  post('two names', form(field('name="_attachments"; filename="a"; name="_doc"', MANY)), 413),
  post('an attachment without a file', form(field('name="_attachments"', MANY)), 413),
  post('too many levels in _doc', form(field('name="_doc"', DEEP)), 400),
  post(
    'an empty part of the type',
    form(field('name="_doc"', MANY)),
    413,
    ';multipart/form-data;; boundary=x',
  ),
  post(
    'a tab in the type',
    form(field('name="_doc"', MANY)),
    400,
    'multipart/form-data; boundary\t=y; boundary=x',
  ),
  put('a tab in the name', related(MANY), 400, 'multipart/related; boundary\t=y; boundary=x'),
  post('a form is kept in memory as a whole', form(field('name="_attachments"; filename="a"', LONG)), 413),
  post('a form with many parts', form(...Array<string>(10_000).fill(field('name="a"', ''))), 200),
  post('a form with more parts', form(...Array<string>(10_001).fill(field('name="a"', ''))), 413),
  post('texts of a form that are long together', form(TEXT, TEXT), 413),
  post('names of a form that are long together', form(...Array<string>(300).fill(NAME)), 413),
  post('a boundary that is none', form(field('name="_doc"', `${FEW}\r\n--xy`)), 400),
  post('a preamble', `a${form(field('name="_doc"', FEW))}`, 400),
];

describe('H20 JSON in a multipart body', () => {
  let front: PolicyFront;
  before(async () => (front = await startPolicyFront({ maxJsonBody: JSON_LIMIT, maxWriteValues: 10_000 })));
  after(() => front.close());

  async function send(line: string, type: string, body: string, isChunked: boolean): Promise<number> {
    const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
    const sent = isChunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
    const head = [
      `${line} HTTP/1.1`,
      'Host: x',
      'x-test-caller: reader+writer',
      'Connection: close',
      framing,
    ];
    const answer = await exchangeBytes(
      front.url,
      `${head.join('\r\n')}\r\nContent-Type: ${type}\r\n\r\n${sent}`,
      {
        until: '\r\n\r\n',
      },
    );
    return Number(answer.split(' ')[1] ?? 0);
  }

  for (const { title, line, type, body, status } of ROWS)
    for (const isChunked of [false, true])
      it(`is bounded as other JSON is – ${line} – ${title}${isChunked ? ', in chunks' : ''} – ${status}`, async () => {
        assert.equal(await send(line, type, body, isChunked), status);
        const reached = front.takeAll();
        if (status === 200) assert.equal(reached[0]?.body.toString('latin1'), body);
        else assert.deepEqual(reached, []);
      });
});

describe('the meter of multipart bodies', () => {
  const bodies: readonly (readonly [kind: MultipartKind, body: string, status: number | undefined])[] = [
    ['related', related('{"a":[1,2,3]}'), undefined],
    ['related', related('{"a":[1,2,3,4]}'), 413],
    ['related', `--x--x\r\n${related('{"a":[1,2,3,4]}')}`, 413],
    ['form', form(field('name="_doc"', '{"a":[1,2,3]}'), ATTACHMENT), undefined],
    ['form', form(ATTACHMENT, field('name="_doc"', '{"a":[1,2,3,4]}')), 413],
  ];
  for (const [kind, body, status] of bodies)
    it(`finds the same whatever the pieces are – ${kind}, ${status ?? 'permitted'}`, async () => {
      const bytes = Buffer.from(body);
      await fc.assert(
        fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), async (sizes) => {
          const meter = new MultipartMeter(
            {
              kind,
              boundary: 'x',
              limitBytes: 1000,
              limits: { values: 4, perDocument: 0, members: 5, stringBytes: Infinity, mayHoldTerms: false },
            },
            {
              ...{ valueBudget: createBodyBudget(1000), atoms: new AtomCount() },
              res: undefined as never,
              caller: 'a',
            },
          );
          let found: number | undefined;
          for (let at = 0, turn = 0; at < bytes.length && found === undefined; turn += 1) {
            // The attachments are long; small pieces matter at their ends.
            const size = (at > 200 && at < bytes.length - 300 ? 500 : 1) * (sizes[turn % sizes.length] ?? 1);
            found = (await meter.add(bytes.subarray(at, at + size)))?.status;
            at += size;
          }
          assert.equal(found, status);
        }),
      );
    });

  it('reads the boundary as CouchDB does: the first, quoted or not', () => {
    assert.equal(boundaryOf('multipart/related;boundary=abc'), 'abc');
    assert.equal(boundaryOf('multipart/related; type="a/b"; Boundary = "a-b_c"; boundary=d'), 'a-b_c');
    for (const type of [
      'a/b',
      'a/b; boundary=',
      'a/b; boundary="a',
      'a/b; boundary=a b',
      'a/b; boundary="a\\b"',
    ])
      assert.throws(() => boundaryOf(type), { status: 400 }, type);
  });
});
