// Secrets that Couchgate makes for itself on its first start.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { DataFolderError, readOrMakeSecrets } from '../../src/config/secrets.ts';

const root = mkdtempSync(join(tmpdir(), 'couchgate-secrets-'));
after(() => rmSync(root, { recursive: true, force: true }));

const NONE = { couchdbNodes: [], sessionSecret: '', jwtSecret: '', ownerPassword: '' };
const modeOf = (path: string): number => statSync(path).mode & 0o777;

describe('readOrMakeSecrets', () => {
  it('makes them on the first start, for this user alone, and finds them again on the second', () => {
    const data = join(root, 'a', 'data');
    const first = readOrMakeSecrets({ ...NONE, data });
    assert.deepEqual([...first.created], ['sessionSecret', 'jwtSecret', 'ownerPassword']);
    assert.equal(Buffer.from(first.sessionSecret, 'base64').length, 32);
    assert.notEqual(first.sessionSecret, first.jwtSecret);
    assert.match(first.ownerPassword, /^[\w-]{24}$/);
    assert.equal(modeOf(data), 0o700);
    assert.deepEqual(readdirSync(data), ['jwt_secret', 'owner_password', 'session_secret']);
    for (const name of readdirSync(data)) assert.equal(modeOf(join(data, name)), 0o600);
    const second = readOrMakeSecrets({ ...NONE, data });
    assert.deepEqual({ ...second, created: first.created }, first);
    assert.equal(second.created.size, 0);
  });

  it('makes only the session secret in front of a CouchDB, and nothing that is configured', () => {
    const data = join(root, 'b');
    const given = { ...NONE, data, couchdbNodes: ['http://127.0.0.1:1'], jwtSecret: 'given' };
    const secrets = readOrMakeSecrets(given);
    assert.deepEqual([...secrets.created], ['sessionSecret']);
    assert.equal(secrets.jwtSecret, 'given');
    assert.equal(secrets.ownerPassword, '');
    const none = join(root, 'never-made');
    readOrMakeSecrets({ ...given, data: none, sessionSecret: 'given too' });
    assert.throws(() => statSync(none), /ENOENT/);
  });

  it('gives processes that start at once the same secret', async () => {
    const data = join(root, 'c');
    const program = `import { readOrMakeSecrets } from ${JSON.stringify(join(import.meta.dirname, '../../src/config/secrets.ts'))};
      const { sessionSecret } = readOrMakeSecrets(${JSON.stringify({ ...NONE, data, couchdbNodes: ['x'] })});
      console.log(sessionSecret);`;
    const run = (): Promise<{ stdout: string }> =>
      promisify(execFile)(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program]);
    const outputs = await Promise.all([run(), run(), run()]);
    assert.equal(new Set(outputs.map(({ stdout }) => stdout)).size, 1);
    assert.deepEqual(readdirSync(data), ['session_secret']);
  });

  it('closes a secret that others may read, and warns of a folder that is open', () => {
    const data = join(root, 'd');
    mkdirSync(data);
    chmodSync(data, 0o755);
    writeFileSync(join(data, 'session_secret'), 'x'.repeat(44), { mode: 0o644 });
    const { warnings } = readOrMakeSecrets({ ...NONE, data });
    assert.equal(modeOf(join(data, 'session_secret')), 0o600);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /accessible to every user/);
  });

  const unusable: readonly [title: string, prepare: (path: string) => void, reason: RegExp][] = [
    ['a file in its place', (path) => writeFileSync(path, ''), /cannot be used \(EEXIST\)/],
    [
      'an empty secret',
      (path) => {
        mkdirSync(path);
        writeFileSync(join(path, 'session_secret'), '');
      },
      /too short/,
    ],
    [
      'a folder in place of the secret',
      (path) => mkdirSync(join(path, 'session_secret'), { recursive: true }),
      /cannot be used/,
    ],
  ];
  for (const [title, prepare, reason] of unusable)
    it(`says in one sentence that the data folder cannot be used: ${title}`, () => {
      const data = join(root, title);
      prepare(data);
      assert.throws(
        () => readOrMakeSecrets({ ...NONE, data }),
        (error) =>
          error instanceof DataFolderError && reason.test(error.message) && error.message.includes(data),
      );
    });
});
