// H18: CouchDB settings that the design relies on, in the file that is shipped and on a node that runs with it, asked directly.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { checkNode } from '../../src/couch/node-check.ts';
import { createTokenMinter } from '../../src/identity/token-minter.ts';
import { RULES, type NodeConfig } from '../../src/setup/rules.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic } from '../support/couchgate.ts';

const FILE = join(import.meta.dirname, '../../config/couchdb/10-couchgate.ini');

/** The file as CouchDB reads it: sections, `key = value`, comments begin with `;`. */
function parseIni(text: string): NodeConfig {
  const config: Record<string, Record<string, string>> = {};
  let section: Record<string, string> = {};
  for (const line of text.split('\n').map((each) => each.trim())) {
    if (line === '' || line.startsWith(';')) continue;
    const [, name] = /^\[(.+)\]$/u.exec(line) ?? [];
    if (name !== undefined) section = config[name] ??= {};
    else {
      const [key = '', ...value] = line.split(' = ');
      section[key] = value.join(' = ');
    }
  }
  return config;
}

describe('H18: the shipped settings of CouchDB', () => {
  const config = parseIni(readFileSync(FILE, 'utf8'));
  /** What the nodes' secret file brings. */
  const secrets = { admins: { admin: '-pbkdf2…' }, chttpd_auth: { secret: '0123456789abcdef' } };
  const whole: NodeConfig = {
    ...config,
    ...secrets,
    chttpd_auth: { ...config['chttpd_auth'], ...secrets.chttpd_auth },
  };
  for (const { section, key, judge, why } of RULES) {
    it(`leave nothing for setup to change: [${section}] ${key}, for ${why}`, () => {
      assert.deepEqual(judge(whole[section]?.[key], whole), { kind: 'fine' });
    });
  }
  it('hold no secret and no password', () => {
    assert.equal(config['jwt_keys'] ?? config['admins'] ?? config['chttpd_auth']?.['secret'], undefined);
  });
});

describe('H18: a node that runs with them', () => {
  let backend: Backend;
  let url: string;
  before(async () => {
    backend = await startBackend();
    [url = ''] = backend.urls;
    const headers = { authorization: basic(backend.owner) };
    await fetch(`${url}/closed`, { method: 'PUT', headers });
  });
  after(() => backend.close());

  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const inAMinute = (): number => Math.floor(Date.now() / 1000) + 60;

  function token(head: object, claims: object, secret = backend.jwtSecretBase64): string {
    const signed = `${encode(head)}.${encode({ sub: 'mallory', '_couchdb.roles': ['_admin'], ...claims })}`;
    const signature = createHmac('sha256', Buffer.from(secret, 'base64')).update(signed).digest('base64url');
    return `${signed}.${signature}`;
  }

  async function session(
    headers: Record<string, string>,
  ): Promise<{ readonly status: number; readonly name: unknown }> {
    const answer = await fetch(`${url}/_session`, { headers });
    const { userCtx } = (await answer.json()) as { readonly userCtx?: { readonly name: unknown } };
    return { status: answer.status, name: userCtx?.name };
  }

  it('takes a token of its key: what follows is about tokens, not about a node that takes none', async () => {
    const good = token({ alg: 'HS256', typ: 'JWT', kid: backend.kid }, { exp: inAMinute() });
    assert.deepEqual(await session({ authorization: `Bearer ${good}` }), { status: 200, name: 'mallory' });
  });

  const forged: readonly (readonly [string, () => string])[] = [
    ['that has expired', () => token({ alg: 'HS256', kid: backend.kid }, { exp: inAMinute() - 120 })],
    ['that never expires', () => token({ alg: 'HS256', kid: backend.kid }, {})],
    ['of another secret', () => token({ alg: 'HS256', kid: backend.kid }, { exp: inAMinute() }, 'AAAA')],
    ['of an unknown key', () => token({ alg: 'HS256', kid: 'other' }, { exp: inAMinute() })],
    ['without the name of a key', () => token({ alg: 'HS256' }, { exp: inAMinute() })],
    ['of another algorithm', () => token({ alg: 'HS384', kid: backend.kid }, { exp: inAMinute() })],
    [
      'without a signature',
      () => `${encode({ alg: 'none' })}.${encode({ sub: 'mallory', exp: inAMinute() })}.`,
    ],
    [
      'whose claims were changed',
      () => {
        const [head = '', , signature = ''] = token(
          { alg: 'HS256', kid: backend.kid },
          { exp: inAMinute() },
        ).split('.');
        return `${head}.${encode({ sub: 'admin', '_couchdb.roles': ['_admin'], exp: inAMinute() })}.${signature}`;
      },
    ],
  ];
  for (const [what, make] of forged) {
    it(`refuses a token ${what}, and does not go on as anonymous – GET /_session – 400 or 401`, async () => {
      const { status, name } = await session({ authorization: `Bearer ${make()}` });
      assert.ok(status === 400 || status === 401, String(status));
      assert.equal(name, undefined);
    });
  }

  it('takes no notice of proxy authentication – GET /_session – nobody (H6)', async () => {
    const headers = {
      'x-auth-couchdb-username': 'mallory',
      'x-auth-couchdb-roles': '_admin',
      'x-auth-couchdb-token': 'f00d',
    };
    assert.deepEqual(await session(headers), { status: 200, name: null });
  });

  it('is not used while it has virtual hosts, which replace paths after the decision – PUT …/_config/vhosts/x', async () => {
    const { kid, jwtSecretBase64, kind } = backend;
    if (kind === 'embedded') return;
    const tokens = createTokenMinter({
      kid,
      secret: Buffer.from(jwtSecretBase64, 'base64'),
      lifetimeSeconds: 60,
    });
    const check = (): Promise<string | undefined> => checkNode(url, tokens.tokenForSelf());
    const host = `${url}/_node/_local/_config/vhosts/evil.example`;
    const headers = { authorization: basic(backend.owner) };
    await check();
    await fetch(host, { method: 'PUT', headers, body: '"/_all_dbs"' });
    try {
      await assert.rejects(check(), /has virtual hosts/u);
    } finally {
      await fetch(host, { method: 'DELETE', headers });
    }
    await check();
  });

  it('shows nobody the names of databases, nor a new database (H4)', async () => {
    for (const path of [
      '/_all_dbs',
      '/closed',
      '/closed/_all_docs',
      '/closed/_security',
      '/_node/_local/_config',
    ])
      assert.equal((await fetch(url + path)).status, 401, path);
  });

  it('says nothing about origins, before or after it knows who asks (H15)', async () => {
    const origin = { origin: 'https://evil.example', 'access-control-request-method': 'PUT' };
    for (const [method, headers] of [
      ['OPTIONS', origin],
      ['GET', { ...origin, authorization: basic(backend.owner) }],
    ] as const) {
      const answer = await fetch(`${url}/closed`, { method, headers });
      assert.equal(answer.headers.get('access-control-allow-origin'), null);
    }
  });

  it('does not answer with a script', async () => {
    const headers = { authorization: basic(backend.owner) };
    const answer = await fetch(`${url}/closed/_all_docs?callback=evil`, { headers });
    assert.doesNotMatch(await answer.text(), /evil/u);
  });
});
