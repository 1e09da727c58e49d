// H40: a full disk or a power cut leaves a file without its content, or with a part of it.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { readCouchdbCa } from '../../src/config/couchdb-ca.ts';
import { loadSettings } from '../../src/config/load.ts';
import { readOrMakeSecrets } from '../../src/config/secrets.ts';
import { watchSettings } from '../../src/config/reload.ts';
import { readTlsFiles } from '../../src/listen/tls.ts';
import { readPassword, UsageError } from '../../src/setup/arguments.ts';
import { keyInUse, newKey } from '../../src/setup/keys.ts';
import { makeSecrets } from '../../src/setup/secrets.ts';
import { makeCertificate } from '../support/certificates.ts';
import { rememberingLog } from '../support/log.ts';

const ROOT = join(import.meta.dirname, '../..');

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'couchgate-h40-'))));
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

/** Runs a program that may not write a byte to a file; this is a limit of its process alone. */
function onFullDisk(program: string): { readonly stdout: string; readonly stderr: string } {
  const run = `ulimit -f 0; exec "$0" --import tsx --input-type=module -e "$1"`;
  return spawnSync('sh', ['-c', run, process.execPath, program], {
    cwd: join(ROOT, 'src'),
    encoding: 'utf8',
  });
}

describe('H40: secrets', () => {
  const make = (): void =>
    makeSecrets(folder, { kid: 'couchgate', admin: 'admin', report: { line: () => undefined }, rounds: 10 });

  it('signs with no key that is empty or short', () => {
    const settings = { jwtKid: 'couchgate', jwtSecret: '', data: folder };
    for (const text of ['', '\n', 'c2hvcnQ=\n', 'not Base64, although long enough\n', '\0'.repeat(45)]) {
      write('jwt_secret', text);
      write('jwt_secret.couchgate-2026-11-30', text);
      for (const dryRun of [true, false]) assert.throws(() => keyInUse(settings, dryRun), /jwt_secret/);
      assert.throws(() => newKey([], folder, new Date('2026-11-30')), /jwt_secret/);
    }
  });

  it('signs no session with a key that decodes to nothing', () => {
    for (const text of ['\0'.repeat(45), `${'='.repeat(44)}\n`]) {
      write('session_secret', text);
      const settings = {
        sessionSecret: '',
        jwtSecret: '',
        ownerPassword: '',
        data: folder,
        couchdbNodes: ['http://a'],
      };
      assert.throws(() => readOrMakeSecrets(settings), /session_secret/);
    }
  });

  it('makes no admin of CouchDB with an empty password, and sends none', () => {
    const path = write('admin/admin_password', '\n');
    assert.throws(make, /admin_password is too short/);
    assert.deepEqual(readdirSync(folder), ['admin']);
    assert.throws(() => readPassword(path), UsageError);
  });

  it('keeps no empty secret of a cluster', () => {
    for (const name of ['jwt/jwt_secret', 'session/session_secret', 'couchdb/erlang_cookie']) {
      const path = write(name, '');
      assert.throws(make, /is too short/, name);
      rmSync(path);
    }
    make();
    write('couchdb/couchdb.ini', '');
    assert.throws(make, /couchdb\.ini is too short/);
  });

  it('leaves no file behind – full disk', () => {
    const { stderr } = onFullDisk(`import { keyInUse } from './setup/keys.ts';
      keyInUse({ jwtKid: 'couchgate', jwtSecret: '', data: ${JSON.stringify(folder)} }, false);`);
    assert.match(stderr, /EFBIG/);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('does not keep Couchgate from starting with a secret that is there – full disk', () => {
    write('session_secret', 'c2hvcnQ'.repeat(4));
    const settings = {
      data: folder,
      couchdbNodes: ['x'],
      sessionSecret: '',
      jwtSecret: '',
      ownerPassword: '',
    };
    const { stdout, stderr } = onFullDisk(`import { readOrMakeSecrets } from './config/secrets.ts';
      console.log(readOrMakeSecrets(${JSON.stringify(settings)}).sessionSecret);`);
    assert.equal(stdout.trim(), 'c2hvcnQ'.repeat(4), stderr);
    assert.deepEqual(readdirSync(folder), ['session_secret']);
  });

  it('copies the secrets of a node again that were not copied whole – start-node.sh', () => {
    const settings = join(folder, 'home/etc/local.d');
    write('home/etc/local.d/secrets.ini', '');
    write('ini/10.ini', '[couchdb]\n');
    write('secrets/couchdb.ini', '[admins]\n');
    write('secrets/erlang_cookie', 'cookie\n');
    execFileSync('sh', [join(ROOT, 'config/couchdb/start-node.sh')], {
      env: {
        ...process.env,
        COUCHDB_HOME: join(folder, 'home'),
        INI: join(folder, 'ini'),
        SECRETS: join(folder, 'secrets'),
        ENTRYPOINT: 'true',
      },
    });
    assert.deepEqual(readdirSync(settings).sort(), ['10.ini', 'secrets.ini']);
    assert.equal(readFileSync(join(settings, 'secrets.ini'), 'utf8'), '[admins]\n');
  });
});

describe('H40: settings', () => {
  it('opens no door when the whitelist becomes empty', () => {
    const path = write('ip-whitelist.yaml', 'allow: [10.0.0.0/8]\n');
    const initial = loadSettings({ env: {}, folder });
    const log = rememberingLog();
    const live = watchSettings({ env: {}, folder, initial, log, acceptCertificates: () => undefined });
    truncateSync(path);
    const { outcome } = live.reload();
    live.close();
    assert.equal(outcome, 'refused');
    assert.deepEqual(live.current.allow, ['10.0.0.0/8']);
    assert.throws(() => loadSettings({ env: {}, folder }), /ip-whitelist\.yaml: is empty/);
  });
});

describe('H40: certificates', () => {
  it('refuses each file that is empty, cut or without a certificate, and so keeps what is in force', async () => {
    const { cert, key } = await makeCertificate('127.0.0.1');
    const two = `${cert}\n${cert}\n`;
    const whole = { tlsCertificate: two, tlsKey: key, tlsClientCa: two };
    const files = {
      tlsCertificate: write('tls.crt', whole.tlsCertificate),
      tlsKey: write('tls.key', whole.tlsKey),
      tlsClientCa: write('ca.pem', whole.tlsClientCa),
    };
    readTlsFiles(files);
    for (const [name, path] of Object.entries(files) as readonly (readonly [keyof typeof files, string])[]) {
      for (const text of ['', 'no PEM', whole[name].slice(0, -40)]) {
        writeFileSync(path, text);
        assert.throws(() => readTlsFiles(files), new RegExp(`: ${path} (?:has no|is not complete)`), text);
      }
      writeFileSync(path, whole[name]);
    }
    assert.throws(() => readCouchdbCa({ couchdbCa: write('couchdb.pem', '') }), /^Error: couchdb_ca: /);
  });
});
