// Couchgate as processes: what two workers count and write together, what SIGHUP does, a certificate renewed while it runs.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeCertificate, type Certificate } from '../support/certificates.ts';
import { startProgram, temporaryFolder, type Program } from '../support/program.ts';
import { until } from '../support/until.ts';

type Line = Readonly<Record<string, unknown>>;

const linesOf = (text: string): readonly Line[] =>
  text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Line]));

describe('two workers', () => {
  const folder = temporaryFolder();
  let program: Program;
  before(() => {
    program = startProgram({
      COUCHGATE_DATA: join(folder.path, 'data'),
      COUCHGATE_WORKERS: '2',
      COUCHGATE_METRICS_LISTEN: '127.0.0.1:0',
    });
  });
  after(async () => {
    await program.end('SIGKILL');
    folder.remove();
  });

  it('write whole lines into one pipe, and are counted together', async () => {
    const url = await program.url;
    const count = 200;
    const agent = 'x'.repeat(400);
    await Promise.all(
      Array.from({ length: count }, (_, index) =>
        fetch(`${url}/_up`, {
          headers: { 'User-Agent': agent, 'X-Couch-Request-ID': `n-${index}`, Connection: 'close' },
        }),
      ),
    );
    const written = (): readonly Line[] =>
      linesOf(program.stdout().slice(0, program.stdout().lastIndexOf('\n') + 1));
    await until(
      () => written().filter((line) => String(line['id']).startsWith('n-')).length === count,
      'every line',
    );
    const metrics = /"url":"(http:[^"]+)"/.exec(program.stderr())?.[1] ?? '';
    const text = await (await fetch(`${metrics}/metrics`)).text();
    const counted = [...text.matchAll(/^couchgate_requests_total\{action="status".*\} (\d+)$/gm)].map(
      (match) => Number(match[1]),
    );
    assert.equal(
      counted.reduce((sum, value) => sum + value, 0),
      count,
    );
    assert.match(text, /^couchgate_request_duration_seconds_count\{action="status"\} 200$/m);
    assert.equal((await fetch(`${metrics}/readyz`)).status, 200);
  });
});

describe('SIGHUP, and files that change', () => {
  const folder = temporaryFolder();
  const config = join(folder.path, 'config');
  const log = join(folder.path, 'access.log');
  const files = { cert: join(folder.path, 'tls.pem'), key: join(folder.path, 'tls.key') };
  let program: Program, first: Certificate, second: Certificate, secure: string;

  const put = ({ cert, key }: Certificate): void => {
    writeFileSync(files.key, key);
    writeFileSync(files.cert, cert);
  };
  const up = (ca: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      https
        .get(`${secure}/_up`, { ca, agent: false }, (res) =>
          res.resume().on('end', () => resolve(res.statusCode)),
        )
        .on('error', reject);
    });

  before(async () => {
    [first, second] = await Promise.all([makeCertificate('first'), makeCertificate('second')]);
    mkdirSync(config);
    put(first);
    program = startProgram({
      COUCHGATE_DATA: join(folder.path, 'data'),
      COUCHGATE_CONFIG: config,
      COUCHGATE_ACCESS_LOG: log,
      COUCHGATE_LISTEN: 'off',
      COUCHGATE_TLS_LISTEN: '127.0.0.1:0',
      COUCHGATE_TLS_CERTIFICATE: files.cert,
      COUCHGATE_TLS_KEY: files.key,
    });
    await until(() => /listens on https:\S+/.test(program.stderr()), 'it listens');
    secure = /listens on (https:\S+)/.exec(program.stderr())?.[1] ?? '';
  });
  after(async () => {
    await program.end('SIGKILL');
    folder.remove();
  });

  it('writes the TLS of the client’s connection into the log', async () => {
    assert.equal(await up(first.cert), 200);
    await until(() => existsSync(log) && linesOf(readFileSync(log, 'utf8')).length > 0);
    const [line] = linesOf(readFileSync(log, 'utf8'));
    assert.equal(line?.['sslVersion'], 'TLSv1.3');
    assert.match(String(line['cipherSuite']), /^TLS_AES_/);
  });

  it('takes up a renewed certificate by itself', async () => {
    put(second);
    await until(
      () =>
        up(second.cert).then(
          (status) => status === 200,
          () => false,
        ),
      'the new certificate',
    );
    await assert.rejects(up(first.cert), /certificate/);
  });

  it('opens the log anew, and reads the configuration, on SIGHUP', async () => {
    renameSync(log, `${log}.1`);
    writeFileSync(join(config, 'couchgate.yaml'), 'log_level: silent\nowner: other\n');
    program.child.kill('SIGHUP');
    await until(() => existsSync(log));
    await until(() => program.stderr().includes('configuration reloaded'));
    assert.match(program.stderr(), /"settings":\["owner"\].*take effect after a restart/);
    assert.equal(await up(second.cert), 200);
    await until(() => linesOf(readFileSync(log, 'utf8')).length === 1);
    const before = program.stderr();
    writeFileSync(join(config, 'couchgate.yaml'), 'log_level: loud\n');
    program.child.kill('SIGHUP');
    assert.equal(await up(second.cert), 200);
    assert.equal(program.stderr(), before, 'the level is silent');
  });
});
