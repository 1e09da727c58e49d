// Hot reload: the files really change, and the settings, the certificates and open connections are looked at.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { refuseUnknownAddress } from '../../src/admit/address.ts';
import { loadSettings } from '../../src/config/load.ts';
import { settling } from '../../src/config/poll-files.ts';
import { type LiveSettings, type WatchState, watchSettings } from '../../src/config/reload.ts';
import { type Settings } from '../../src/config/settings.ts';
import { rememberingLog, type RememberedLog } from '../support/log.ts';
import { serveSteps } from '../support/steps-server.ts';
import { until } from '../support/until.ts';

const root = mkdtempSync(join(tmpdir(), 'couchgate-reload-'));
const open: LiveSettings[] = [];
after(() => {
  for (const live of open) live.close();
  rmSync(root, { recursive: true, force: true });
});

let count = 0;
function newFolder(): string {
  const folder = join(root, String((count += 1)));
  mkdirSync(folder);
  return folder;
}

function watch(
  folder: string,
  acceptCertificates: (next: Settings) => void = () => undefined,
): { live: LiveSettings; log: RememberedLog } {
  const log = rememberingLog();
  const initial = loadSettings({ env: {}, folder });
  const live = watchSettings({ env: {}, folder, initial, log, acceptCertificates, intervalMs: 10 });
  open.push(live);
  return { live, log };
}

const whitelist = (...allow: readonly string[]): string => `allow: [${allow.join(', ')}]\n`;

describe('settling', () => {
  const rows: readonly [states: string, acts: string][] = [
    ['aaaa', '....'],
    ['abbb', '..!.'],
    ['abcdd', '....!'],
    ['abab', '....'],
    ['abbaa', '..!.!'],
  ];
  for (const [states, acts] of rows)
    it(`reads no file that somebody is still writing: ${states} is acted on at ${acts}`, () => {
      const hasSettled = settling('a');
      assert.equal(Array.from(states, (state) => (hasSettled(state) ? '!' : '.')).join(''), acts);
    });
});

describe('watchSettings', () => {
  it('takes up a changed file, as a whole new version, and tells who asked', async () => {
    const folder = newFolder();
    const file = join(folder, 'ip-whitelist.yaml');
    writeFileSync(file, whitelist('10.0.0.0/8'));
    const { live, log } = watch(folder);
    const first = live.current;
    const told: Settings[] = [];
    live.onChange((next) => told.push(next));
    writeFileSync(file, whitelist('192.0.2.0/24'));
    await until(() => live.reloads === 1);
    assert.deepEqual(live.current.allow, ['192.0.2.0/24']);
    assert.deepEqual(first.allow, ['10.0.0.0/8']);
    assert.deepEqual(told, [live.current]);
    assert.equal(Object.isFrozen(live.current), true);
    assert.deepEqual(
      log.lines.map(({ level }) => level),
      ['info'],
    );
  });

  it('reports a misspelt file that appears while it runs, and keeps the rules in effect', async () => {
    const folder = newFolder();
    writeFileSync(join(folder, 'ip-whitelist.yaml'), whitelist('10.0.0.0/8'));
    const { live, log } = watch(folder);
    writeFileSync(join(folder, 'ip-whitelist.yml'), whitelist('192.0.2.0/24'));
    await until(() => live.failures === 1);
    assert.deepEqual(live.current.allow, ['10.0.0.0/8']);
    assert.match(JSON.stringify(log.lines), /did you mean ip-whitelist\.yaml/);
  });

  it('logs the changed settings by the names of the files', async () => {
    const folder = newFolder();
    const { live, log } = watch(folder);
    writeFileSync(join(folder, 'ip-whitelist.yaml'), 'owner_allow: [10.0.0.0/8]\n');
    await until(() => live.reloads === 1);
    assert.match(JSON.stringify(log.lines), /"changed":\["owner_allow"\]/);
  });

  it('takes up the swap of a symbolic link, as Kubernetes does it', async () => {
    const folder = newFolder();
    const put = (version: string, text: string): void => {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'cors.yaml'), text);
      symlinkSync(version, join(folder, '..data_tmp'));
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    put('..1', 'origins: [https://one.example]\n');
    symlinkSync('..data/cors.yaml', join(folder, 'cors.yaml'));
    const { live } = watch(folder);
    assert.deepEqual(live.current.origins, ['https://one.example']);
    put('..2', 'origins: [https://two.example]\n');
    await until(() => live.reloads === 1);
    assert.deepEqual(live.current.origins, ['https://two.example']);
  });

  it('keeps the last good version when a file is bad, says so, counts it, and goes on with the next good one', async () => {
    const folder = newFolder();
    const file = join(folder, 'ip-whitelist.yaml');
    writeFileSync(file, whitelist('10.0.0.0/8'));
    const { live, log } = watch(folder);
    const before = live.current;
    writeFileSync(file, 'allow: [10.0.0.0/8, nonsense]\n');
    await until(() => live.failures === 1);
    assert.equal(live.current, before);
    assert.match(
      JSON.stringify(log.lines),
      /ip-whitelist\.yaml:1: allow\[1\]: .*nonsense.* is not an IP address/,
    );
    writeFileSync(file, whitelist('192.0.2.0/24'));
    await until(() => live.reloads === 1);
    assert.deepEqual(live.current.allow, ['192.0.2.0/24']);
  });

  it('opens no door when the whitelist is moved away', async () => {
    const folder = newFolder();
    const file = join(folder, 'ip-whitelist.yaml');
    writeFileSync(file, whitelist('10.0.0.0/8'));
    const { live, log } = watch(folder);
    rmSync(file);
    await until(() => live.failures === 1);
    assert.deepEqual(live.current.allow, ['10.0.0.0/8']);
    assert.match(JSON.stringify(log.lines), /ip-whitelist\.yaml no longer exists/);
  });

  it('goes on after a refused file was removed again', () => {
    const folder = newFolder();
    let isRefused = true;
    const { live } = watch(folder, () => {
      if (isRefused) throw new Error('the certificates do not match');
    });
    writeFileSync(join(folder, 'cors.yaml'), 'enable_cors: true\n');
    assert.equal(live.reload().outcome, 'refused');
    rmSync(join(folder, 'cors.yaml'));
    isRefused = false;
    assert.equal(live.reload().outcome, 'unchanged');
  });

  it('reads at once when asked (SIGHUP), and says what came of it', () => {
    const folder = newFolder();
    const { live } = watch(folder);
    assert.deepEqual(live.reload(), { outcome: 'unchanged' });
    writeFileSync(join(folder, 'couchgate.yaml'), 'log_level: debug\n');
    assert.deepEqual(live.reload(), { outcome: 'changed' });
    assert.equal(live.current.logLevel, 'debug');
    writeFileSync(join(folder, 'couchgate.yaml'), 'log_level: loud\n');
    const refused = live.reload();
    assert.equal(refused.outcome === 'refused' && /log_level: must be one of/.test(refused.reason), true);
    assert.equal(live.current.logLevel, 'debug');
  });

  it('changes nothing when the certificates do not fit, not even what is good', () => {
    const folder = newFolder();
    const { live } = watch(folder, () => {
      throw new Error('not a certificate and its key');
    });
    writeFileSync(join(folder, 'couchgate.yaml'), 'log_level: debug\n');
    assert.equal(live.reload().outcome, 'refused');
    assert.equal(live.current.logLevel, 'info');
    assert.equal(live.failures, 1);
  });

  it('looks at the content of the certificates, not only at their names', async () => {
    const folder = newFolder();
    const certificate = join(folder, 'tls.pem');
    writeFileSync(certificate, '1');
    writeFileSync(
      join(folder, 'couchgate.yaml'),
      `tls_listen: 127.0.0.1:0\ntls_certificate: ${certificate}\ntls_key: ${certificate}\n`,
    );
    let accepted = 0;
    watch(folder, () => (accepted += 1));
    writeFileSync(certificate, '22');
    await until(() => accepted === 1);
  });

  it('warns of changes that need a restart, and leaves them', () => {
    const folder = newFolder();
    const { live, log } = watch(folder);
    live.reload();
    writeFileSync(join(folder, 'couchgate.yaml'), 'listen: 127.0.0.1:1\n');
    live.reload();
    live.reload();
    assert.equal(live.current.listen, '127.0.0.1:5984');
    assert.deepEqual(log.lines, [
      {
        level: 'warn',
        fields: { settings: ['listen'] },
        message: 'changed settings take effect after a restart',
      },
    ]);
  });

  describe('that goes on from the state of another', () => {
    const resume = (folder: string, other: LiveSettings): ReturnType<typeof watch> => {
      const log = rememberingLog();
      const resumed = JSON.parse(JSON.stringify(other.state())) as WatchState;
      const initial = resumed.current;
      const acceptCertificates = (): void => undefined;
      const live = watchSettings({ env: {}, folder, initial, resumed, log, acceptCertificates });
      open.push(live);
      return { live, log };
    };

    it('keeps the rules of a whitelist that was removed before it began', () => {
      const folder = newFolder();
      writeFileSync(join(folder, 'ip-whitelist.yaml'), whitelist('10.0.0.0/8'));
      const { live } = watch(folder);
      rmSync(join(folder, 'ip-whitelist.yaml'));
      const second = resume(folder, live).live;
      assert.equal(second.reload().outcome, 'refused');
      assert.deepEqual(second.current, live.current);
    });

    it('keeps what a broken file and a fixed setting had at the start', () => {
      const folder = newFolder();
      writeFileSync(join(folder, 'ip-whitelist.yaml'), whitelist('10.0.0.0/8'));
      const { live } = watch(folder);
      writeFileSync(join(folder, 'couchgate.yaml'), 'listen: 127.0.0.1:1\n');
      writeFileSync(join(folder, 'ip-whitelist.yaml'), 'allow: [nonsense]\n');
      const { live: second, log } = resume(folder, live);
      assert.equal(second.reload().outcome, 'refused');
      writeFileSync(join(folder, 'ip-whitelist.yaml'), whitelist('192.0.2.0/24'));
      assert.equal(second.reload().outcome, 'changed');
      assert.deepEqual([second.current.listen, second.current.allow], ['127.0.0.1:5984', ['192.0.2.0/24']]);
      assert.match(JSON.stringify(log.lines), /changed settings take effect after a restart/);
    });
  });

  it('disturbs no request in flight: what was let in is answered, what comes next is refused', async () => {
    const folder = newFolder();
    const file = join(folder, 'ip-whitelist.yaml');
    writeFileSync(file, whitelist('127.0.0.1'));
    const { live } = watch(folder);
    let answer = (): void => undefined;
    const server = await serveSteps([
      refuseUnknownAddress(live),
      (_req, res) => {
        res.write('begun ');
        answer = () => void res.end('done');
      },
    ]);
    const running = await fetch(server.url);
    writeFileSync(file, whitelist('10.0.0.0/8'));
    await until(() => live.reloads === 1);
    assert.equal((await fetch(server.url)).status, 403);
    answer();
    assert.equal(await running.text(), 'begun done');
    server.close();
  });
});
