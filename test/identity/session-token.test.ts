// Pins the session token and the cookie it travels in: what is taken, what is none, what is malformed, and the one Set-Cookie.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, mock } from 'node:test';
import fc from 'fast-check';
import { createSessionCookie } from '../../src/identity/session-cookie.ts';
import { createSessionTokens, type Session } from '../../src/identity/session-token.ts';

const secret = randomBytes(32);
const NOW = 1_800_000_000_000;
const session: Session = {
  kind: 'user',
  name: 'alice',
  id: 'AAAA',
  version: 'v1',
  issuedAt: NOW,
  expiresAt: NOW + 600_000,
};
const at = (time: number) => createSessionTokens({ secret, now: () => time });
const tokens = at(NOW);

describe('a session token', () => {
  it('gives back what was signed, whoever it is for', () => {
    for (const kind of ['key', 'user', 'owner'] as const) {
      for (const name of ['alice', 'Zoë :,;"\\', '猫', '__proto__']) {
        const read = tokens.read(tokens.sign({ ...session, kind, name }));
        assert.deepEqual(read, { outcome: 'valid', session: { ...session, kind, name } });
      }
    }
  });

  it('is over at its time, not before', () => {
    const token = tokens.sign(session);
    assert.equal(at(NOW + 599_999).read(token).outcome, 'valid');
    assert.equal(at(NOW + 600_000).read(token).outcome, 'void');
  });

  it('is over at the present timeout, also if it was signed under a longer one', () => {
    const token = tokens.sign({ ...session, expiresAt: NOW + 14 * 86_400_000 });
    const outcomeAt = (time: number) =>
      createSessionTokens({ secret, sessionTimeoutSeconds: 600, now: () => time }).read(token).outcome;
    assert.equal(outcomeAt(NOW + 599_999), 'valid');
    assert.equal(outcomeAt(NOW + 600_000), 'void');
  });

  it('is none under another secret', () => {
    const other = createSessionTokens({ secret: randomBytes(32), now: () => NOW });
    assert.equal(other.read(tokens.sign(session)).outcome, 'void');
  });

  it('is never valid with one character changed, added or taken away', () => {
    const token = tokens.sign(session);
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.string({ minLength: 0, maxLength: 1 }), (place, piece) => {
        const altered = token.slice(0, place) + piece + token.slice(place + 1);
        fc.pre(altered !== token);
        assert.notEqual(tokens.read(altered).outcome, 'valid');
      }),
    );
    for (const altered of [`${token}=`, `${token}.`, `${token} `, ` ${token}`, token.toLowerCase()]) {
      assert.notEqual(tokens.read(altered).outcome, 'valid', altered);
    }
  });

  const couchCookie = Buffer.from('admin:6B021FF9:\u0001\u0002').toString('base64url');
  const cases: readonly [string, string, 'void' | 'malformed'][] = [
    ['a cookie of CouchDB', couchCookie, 'void'],
    ['our form with a wrong signature', 'YWJj.YWJj', 'void'],
    ['base64url with fewer than three fields', Buffer.from('admin:1').toString('base64url'), 'malformed'],
    ['what is not base64url', 'abc$', 'malformed'],
    ['three parts', 'a.b.c', 'malformed'],
    ['a dot alone', '.', 'malformed'],
    ['more than anybody would have sent', `${'a'.repeat(5000)}.b`, 'void'],
  ];
  for (const [what, token, outcome] of cases) {
    it(`is ${outcome} for ${what}`, () => {
      assert.equal(tokens.read(token).outcome, outcome);
    });
  }
});

describe('the session cookie', () => {
  const rules = { sessionTimeoutSeconds: 600, cookieSameSite: 'lax', cookieSecure: 'auto', now: () => NOW };
  const cookie = createSessionCookie(rules);
  const EXPIRES = 'Expires=Fri, 15-Jan-2027 08:10:00 GMT';

  it("is written with CouchDB's attributes in their order, Max-Age never the last", () => {
    assert.equal(
      cookie.write('T', false),
      `AuthSession=T; Version=1; ${EXPIRES}; Max-Age=600; Path=/; HttpOnly; SameSite=Lax`,
    );
    assert.equal(
      cookie.write('T', true),
      `AuthSession=T; Version=1; ${EXPIRES}; Max-Age=600; Path=/; HttpOnly; Secure; SameSite=Lax`,
    );
  });

  const variants: readonly [string, string, boolean, string][] = [
    ['strict', 'auto', false, 'HttpOnly; SameSite=Strict'],
    ['off', 'auto', false, 'HttpOnly'],
    ['off', 'always', false, 'HttpOnly; Secure'],
    ['none', 'auto', true, 'HttpOnly; Secure; SameSite=None'],
    ['none', 'auto', false, 'HttpOnly'],
  ];
  for (const [cookieSameSite, cookieSecure, secure, end] of variants) {
    it(`ends in "${end}" with SameSite ${cookieSameSite}, Secure ${cookieSecure}, ${secure ? 'TLS' : 'plain HTTP'}`, () => {
      const written = createSessionCookie({ ...rules, cookieSameSite, cookieSecure }).write('T', secure);
      assert.ok(written.endsWith(`Max-Age=600; Path=/; ${end}`), written);
    });
  }

  for (const pair of [';', 'a;', '=;', 'AuthSession;', ' ;'])
    it(`is found in a header of many pairs without a search of the rest for each – ${pair}`, () => {
      const header = `${pair.repeat(10_000)}AuthSession=T`;
      let read = 0;
      const indexOf = Object.getOwnPropertyDescriptor(String.prototype, 'indexOf')?.value as unknown as (
        this: string,
        text: string,
        from: number,
      ) => number;
      const counted = mock.method(
        String.prototype,
        'indexOf',
        function (this: string, text: string, from = 0) {
          const at = indexOf.call(this, text, from);
          read += (at === -1 ? this.length : at + 1) - from;
          return at;
        },
      );
      try {
        assert.equal(cookie.read(header), 'T');
      } finally {
        counted.mock.restore();
      }
      assert.ok(read <= 3 * header.length, `${read} characters of ${header.length}`);
    });

  const headers: readonly [string | undefined, string | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['AuthSession=T', 'T'],
    ['AuthSession=', undefined],
    ['AuthSession=""', undefined],
    ['AuthSession="T"', 'T'],
    ['a=1; AuthSession=T; b=2', 'T'],
    ['a=1;AuthSession = T ;b', 'T'],
    ['XAuthSession=no; AuthSession=T', 'T'],
    ['a=AuthSession=no; AuthSession=T', 'T'],
    ['authsession=T', undefined],
    ['AuthSession', undefined],
    ['AuthSession; b=T', undefined],
    ['AuthSession=T; AuthSession=U', 'T'],
    ['AuthSession=a=b', 'a=b'],
  ];
  for (const [header, token] of headers) {
    it(`reads ${JSON.stringify(token)} from ${JSON.stringify(header)}`, () => {
      assert.equal(cookie.read(header), token);
    });
  }
});
