// No credential that was put into a target, and none in an error text, survives in a log, in whatever spelling.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { maskTarget } from '../../src/audit/mask.ts';

const NAMES = [
  ...['password', 'passwd', 'passphrase', 'pwd', 'pass', 'user_pass', 'new-password', 'password[]'],
  ...['secret', 'client_secret', 'token', 'access_token', 'tokens', 'credential', 'credentials'],
  ...['apikey', 'api_key', 'api-key', 'X.API.Key', 'AWSAccessKeyId', 'private_key'],
  ...['auth', 'x-auth', 'authorization', 'Authorization', 'AuthSession', 'session_id'],
  ...['jwt', 'id_jwt', 'sig', 'signature', 'X-Amz-Signature', 'otp'],
];
const CANARY = 'canary';

const escape = (text: string): string =>
  `%${Buffer.from(text).toString('hex').match(/../g)?.join('%') ?? ''}`;
/** Each letter as it is, in capitals, or as an escape in one of two cases. */
const spelled = (name: string): fc.Arbitrary<string> =>
  fc
    .tuple(
      ...Array.from(name).map((letter) =>
        fc.constantFrom(
          letter,
          letter.toUpperCase(),
          escape(letter),
          escape(letter).toUpperCase(),
          escape('%') + escape(letter).slice(1),
        ),
      ),
    )
    .map((letters) => letters.join(''));
const name = fc.constantFrom(...NAMES).chain(spelled);
/**
 * Values in which a sign could end the mask too early; every part holds the canary. After `;` or `&`, an equals
 * sign would begin another parameter.
 */
const rest = fc.array(
  fc.constantFrom(
    ...[';', '?', '/', '#', '%26', '%3B', '+', ':', '@', '%40', '"', ','].map((sign) => `${sign}${CANARY}`),
  ),
);
const value = fc
  .tuple(fc.constantFrom('', '=', '=='), rest)
  .map(([equals, parts]) => CANARY + (equals === '' ? '' : equals + CANARY) + parts.join(''));
const parameter = fc.tuple(name, value).map(([key, text]) => `${key}=${text}`);
const other = fc.constantFrom('a=1', 'include_docs=true', 'startkey=%22x%22', 'x', '', 'q=a%20b');
const query = fc
  .tuple(other, fc.constantFrom('&', ';'), parameter, fc.constantFrom('&limit=1', ';limit=1', ''))
  .map(([before, sign, secret, after]) => `${before}${sign}${secret}${after}`);
/** A query as it is, or inside a URL that is the value of a parameter, encoded up to three times. */
const nested = fc
  .tuple(query, fc.integer({ min: 0, max: 3 }), fc.constantFrom('https://h/p?', '/x?', '?'))
  .map(([text, times, before]) => {
    let inner = text;
    for (let time = 0; time < times; time += 1) inner = `next=${encodeURIComponent(before + inner)}`;
    return inner;
  });
const target = fc.oneof(
  nested.map((text) => `?${text}`),
  nested.map((text) => `/db/_all_docs?${text}`),
  // The question mark itself encoded.
  nested.map((text) => `/db/${encodeURIComponent(`doc?${text}`)}`),
  nested.map((text) => `the node refused http://h/db?${text}\n    at f (file.js:1:2)`),
);

/** As somebody reads a log line who decodes it as often as there is something to decode. */
function readAll(text: string): string {
  let all = text;
  for (let last = '', now = text; now !== last; all += now) {
    last = now;
    now = now.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)));
  }
  return all;
}

describe('a parameter that is named like a secret', () => {
  it('loses its value in every spelling and position', () => {
    fc.assert(
      fc.property(target, (text) => {
        assert.ok(!readAll(maskTarget(text)).includes(CANARY), maskTarget(text));
      }),
      { numRuns: 3000 },
    );
  });

  it('is masked in time that is linear in the length', () => {
    for (const text of ['?', '&', ';', '=', '%', '%25', '%3D', '@', ':/', '/', 'pass=', 'auth', '?a%'])
      maskTarget(text.repeat(Math.floor(65_536 / text.length)));
  });
});

describe('user-info of a URL', () => {
  const slashes = fc.constantFrom('/', '//', '///', '%2F', '%2f%2F', '/%2F');
  const url = fc
    .tuple(
      fc.constantFrom('http', 'https', 'couch'),
      fc.constantFrom(':', '%3A', '%3a'),
      slashes,
      fc.constantFrom('@', '%40'),
    )
    .map(([scheme, colon, slash, at]) => `${scheme}${colon}${slash}admin${colon}${CANARY}${at}host`);
  it('is masked in paths, queries and texts', () => {
    fc.assert(
      fc.property(url, fc.constantFrom('/', '/db/', '?source=', 'the node at '), (text, before) => {
        assert.equal(readAll(maskTarget(`${before}${text}/db`)).includes(CANARY), false);
      }),
    );
  });
});

describe('what is no credential', () => {
  for (const text of [
    '/db/_design/author/_view/by_author?key=%22password%22&startkey=%22token%22',
    '/_users/org.couchdb.user:bob@example.com',
    '/db/_all_docs?include_docs=true&startkey=%22a%3Db%22&endkey=%5B%22x%22%5D',
    '?design=1&signal=2&author=x&passed=true&compass_direction=n',
    '/db/a%2Bb?rev=1-abc&attachments=true',
  ])
    it(`stays as it is – ${text}`, () => assert.equal(maskTarget(text), text));
});
