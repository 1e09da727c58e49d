// The guide at the start of the embedded node: where the password is, and which address the examples use.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadSettings } from '../src/config/load.ts';
import { type Settings } from '../src/config/settings.ts';
import { welcomeLines, type Welcome } from '../src/welcome.ts';

const DEFAULTS = loadSettings({ env: {}, folder: '/nonexistent' });

function guide(settings: Partial<Settings>, more: Partial<Welcome> = {}): string {
  return welcomeLines({
    settings: { ...DEFAULTS, data: '/d', ...settings },
    secrets: { created: new Set(), ownerPassword: 'generated' },
    addresses: ['http://127.0.0.1:5984'],
    hasKeys: false,
    passwordFile: undefined,
    ...more,
  }).join('\n');
}

describe('the guide', () => {
  it('reads the generated password from its file', () => {
    assert.match(guide({}), /OWNER="admin:\$\(cat \/d\/owner_password\)"/);
    assert.match(guide({}), /with the password in \/d\/owner_password\./);
  });

  it('reads a configured password from its file', () => {
    const text = guide({ ownerPassword: 'canary' }, { passwordFile: '/run/secrets/owner' });
    assert.match(text, /OWNER="admin:\$\(cat \/run\/secrets\/owner\)"/);
    assert.doesNotMatch(text, /canary/);
  });

  it('quotes a file name with a space, and a quote in the name of the owner', () => {
    const text = guide({ data: "/o'brien's data", owner: 'o"b' });
    assert.ok(text.includes(`OWNER="o\\"b:$(cat '/o'\\''brien'\\''s data/owner_password')"`), text);
  });

  it('asks for a password that is in no file', () => {
    const text = guide({ ownerPassword: 'canary' });
    assert.match(text, /read -rs PASSWORD\n +OWNER="admin:\$PASSWORD"/);
    assert.doesNotMatch(text, /canary|owner_password/);
  });

  const both = ['http://0.0.0.0:5984', 'https://0.0.0.0:6984'];
  const rows: readonly (readonly [string, Partial<Settings>, readonly string[], string])[] = [
    ['plain HTTP', {}, ['http://127.0.0.1:5984'], 'curl -u "$KEY" http://127.0.0.1:5984/fruit'],
    ['every address', {}, both, 'curl -u "$KEY" http://127.0.0.1:5984/fruit'],
    ['tls_redirect', { tlsRedirect: true }, both, 'curl -k -u "$KEY" https://127.0.0.1:6984/fruit'],
    ['HTTPS alone', {}, ['https://[::]:6984'], 'curl -k -u "$KEY" https://[::1]:6984/fruit'],
    [
      'a public address',
      { tlsRedirect: true, publicUrl: 'https://couch.example' },
      both,
      'curl -k -u "$KEY" https://couch.example/fruit',
    ],
  ];
  for (const [name, settings, addresses, line] of rows)
    it(`sends its requests where they are answered – ${name}`, () => {
      const text = guide(settings, { addresses });
      assert.ok(text.includes(line), text);
    });

  it('is not shown once there is a key, and never in front of CouchDB', () => {
    assert.doesNotMatch(guide({}, { hasKeys: true }), /curl/);
    assert.match(guide({}, { hasKeys: true }), /owner_password/);
    assert.doesNotMatch(guide({ couchdbNodes: ['http://couchdb1:5984'] }), /owner|curl/);
  });
});
