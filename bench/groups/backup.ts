// Measures backup and restore beside couchbackup: time, memory, and large attachments.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { randomBytes, randomInt } from 'node:crypto';
import { type Backend } from '../../test/support/backend.ts';
import { openAdmin, succeeded, type Admin } from '../../src/setup/admin.ts';
import { documentId, writeDocuments } from '../backup-documents.ts';
import { type Finding, type Group, type Plan, type Section } from '../group.ts';
import { memoryKiB } from '../process.ts';
import { whole } from '../report.ts';
import { openBackend } from '../upstream.ts';

const DOCUMENTS = 100_000;
const CHANGED = DOCUMENTS / 100;
const LARGE_BYTES = 1024 ** 3;
const MIB = 1024;
const ROOT = resolve(import.meta.dirname, '../..');
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const COUCHBACKUP = createRequire(import.meta.url).resolve('@cloudant/couchbackup/package.json');

export const backups: Group = { name: 'backup', title: 'Backup and restore', run };

interface Measured {
  readonly seconds: number;
  readonly peakMiB: number;
}

interface Setup {
  readonly backend: Backend;
  readonly admin: Admin;
  readonly folder: string;
}

async function run(plan: Plan): Promise<Section> {
  plan.note('building');
  execFileSync(process.execPath, [TSC, '-p', join(ROOT, 'src/tsconfig.build.json')], { cwd: ROOT });
  const backend = await openBackend(plan);
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-bench-'));
  plan.atEnd(() => rmSync(folder, { recursive: true }));
  const admin = openAdmin({ url: backend.urls[0] ?? '', credentials: backend.owner });
  const setup = { backend, admin, folder };
  plan.note(`writing ${whole(DOCUMENTS)} documents`);
  await writeDocuments(admin, 'bench', DOCUMENTS);
  const idle = await couchgate(setup, ['snapshots', '--repository', await emptyRepository(setup)]);
  plan.note('full backups, in turn');
  const theirs: Measured[] = [];
  const ours: Measured[] = [];
  for (const round of [1, 2]) {
    theirs.push(await couchbackup(setup, round));
    ours.push(
      await couchgate(setup, ['backup', '--databases', 'bench', '--repository', join(folder, `r${round}`)]),
    );
  }
  const repository = join(folder, 'r2');
  const words = ['backup', '--databases', 'bench', '--repository', repository];
  const unchanged = await couchgate(setup, words);
  await change(admin);
  const incremental = await couchgate(setup, words);
  plan.note('restores');
  const restored = await couchgate(setup, [
    'restore',
    'bench',
    '--to',
    'bench-restored',
    '--repository',
    repository,
  ]);
  const theirRestore = await couchrestore(setup);
  plan.note('an attachment of 1 GiB');
  await putLarge(backend);
  const large = await couchgate(setup, ['backup', '--databases', 'large', '--repository', repository]);
  const largeBack = await couchgate(setup, [
    'restore',
    'large',
    '--to',
    'large-restored',
    '--repository',
    repository,
  ]);
  const [full, theirFull] = [best(ours), best(theirs)];
  const row = (name: string, { seconds, peakMiB }: Measured, documents = DOCUMENTS): string[] => [
    name,
    seconds.toFixed(1),
    documents === 0 ? '–' : whole(documents / seconds),
    whole(peakMiB),
  ];
  return {
    text: `${whole(DOCUMENTS)} documents of 1 KB on one CouchDB node; programs with their start, as built. The better of two full backups, in turn. Memory is the peak RSS of the process; \`couchgate snapshots\` of an empty repository has ${whole(idle.peakMiB)} MiB.`,
    tables: [
      {
        columns: ['', 'seconds', 'documents/s', 'peak MiB'],
        rows: [
          row('couchgate backup, full', full),
          row('couchbackup', theirFull),
          row('couchgate backup, nothing changed', unchanged, 0),
          row('couchgate backup, 1 % changed', incremental, 0),
          row('couchgate restore', restored),
          row('couchrestore', theirRestore),
          row('couchgate backup, attachment of 1 GiB', large, 0),
          row('couchgate restore, attachment of 1 GiB', largeBack, 0),
        ],
      },
    ],
    findings: findings({ full, theirFull, incremental, restored, theirRestore, large, largeBack, idle }),
  };
}

function findings(
  m: Readonly<
    Record<
      'full' | 'theirFull' | 'incremental' | 'restored' | 'theirRestore' | 'large' | 'largeBack' | 'idle',
      Measured
    >
  >,
): readonly Finding[] {
  const ratio = m.theirFull.seconds / m.full.seconds;
  const restoreRatio = m.theirRestore.seconds / m.restored.seconds;
  const more = Math.max(m.large.peakMiB, m.largeBack.peakMiB) - m.idle.peakMiB;
  return [
    { target: 'full: twice the rate of couchbackup', measured: ratio.toFixed(2), holds: ratio >= 2 },
    {
      target: 'full: peak RSS below 256 MiB',
      measured: `${whole(m.full.peakMiB)} MiB`,
      holds: m.full.peakMiB < 256,
    },
    {
      target: '1 % changed: below 3 s',
      measured: `${m.incremental.seconds.toFixed(1)} s`,
      holds: m.incremental.seconds < 3,
    },
    {
      target: 'restore: the rate of couchrestore',
      measured: restoreRatio.toFixed(2),
      holds: restoreRatio >= 1,
    },
    { target: '1 GiB attachment: 64 MiB more RSS', measured: `${whole(more)} MiB`, holds: more <= 64 },
  ];
}

const best = (all: readonly Measured[]): Measured =>
  all.reduce((a, b) => (b.seconds < a.seconds ? b : a), all[0] ?? { seconds: NaN, peakMiB: NaN });

async function measured(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  input?: string,
  output?: string,
): Promise<Measured> {
  const [program = '', ...args] = command;
  const begin = performance.now();
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: [input === undefined ? 'ignore' : 'pipe', output === undefined ? 'ignore' : 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr?.on('data', (text: Buffer) => (errors += text.toString()));
  if (input !== undefined && child.stdin !== null) createReadStream(input).pipe(child.stdin);
  if (output !== undefined) child.stdout?.pipe(createWriteStream(output));
  let peak = 0;
  const timer = setInterval(() => (peak = Math.max(peak, memoryKiB(child.pid ?? 0)?.peak ?? 0)), 50);
  const [code] = (await once(child, 'exit')) as [number | null];
  clearInterval(timer);
  if (code !== 0)
    throw new Error(`${command.slice(0, 6).join(' ')} ended with ${String(code)}: ${errors.slice(-500)}`);
  return { seconds: (performance.now() - begin) / 1000, peakMiB: peak / MIB };
}

function couchgate({ backend }: Setup, words: readonly string[]): Promise<Measured> {
  return measured([process.execPath, 'dist/main.js', ...words], {
    COUCHGATE_COUCHDB_NODES: backend.urls.join(','),
    COUCHGATE_JWT_SECRET: backend.jwtSecretBase64,
    COUCHGATE_JWT_KID: backend.kid,
  });
}

async function emptyRepository(setup: Setup): Promise<string> {
  const repository = join(setup.folder, 'empty');
  await couchgate(setup, ['backup', '--databases', 'no-such-*', '--repository', repository]);
  return repository;
}

const urlOf = ({ urls, owner }: Backend): string =>
  (urls[0] ?? '').replace('://', `://${owner.name}:${owner.password}@`);

function couchbackup({ backend, folder }: Setup, round: number): Promise<Measured> {
  const program = join(COUCHBACKUP, '../bin/couchbackup.bin.js');
  const log = join(folder, `couchbackup-${round}.log`);
  const env = { COUCH_URL: urlOf(backend), COUCH_DATABASE: 'bench', COUCH_LOG: log };
  return measured([process.execPath, program], env, undefined, join(folder, 'couchbackup.txt'));
}

async function couchrestore({ backend, admin, folder }: Setup): Promise<Measured> {
  succeeded(await admin.ask('PUT', '/bench-theirs'), 'creating a database');
  const program = join(COUCHBACKUP, '../bin/couchrestore.bin.js');
  const env = { COUCH_URL: urlOf(backend), COUCH_DATABASE: 'bench-theirs' };
  return measured([process.execPath, program], env, join(folder, 'couchbackup.txt'));
}

async function change(admin: Admin): Promise<void> {
  const keys = Array.from({ length: CHANGED }, () => documentId(randomInt(DOCUMENTS)));
  const rows = succeeded(
    await admin.ask('POST', '/bench/_all_docs?include_docs=true', { keys: [...new Set(keys)] }),
    'reading',
  ) as {
    rows: { doc: object }[];
  };
  const docs = rows.rows.map(({ doc }) => ({ ...doc, changed: true }));
  succeeded(await admin.ask('POST', '/bench/_bulk_docs', { docs }), 'changing documents');
}

/** Writes one attachment of random bytes as a stream. */
async function putLarge(backend: Backend): Promise<void> {
  const { name, password } = backend.owner;
  const headers = { Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
  const admin = openAdmin({ url: backend.urls[0] ?? '', credentials: backend.owner });
  succeeded(await admin.ask('PUT', '/large'), 'creating a database');
  const chunk = randomBytes(1024 * 1024);
  const req = request(`${backend.urls[0] ?? ''}/large/doc/data.bin`, {
    method: 'PUT',
    headers: { ...headers, 'Content-Type': 'application/x', 'Content-Length': LARGE_BYTES },
  });
  for (let sent = 0; sent < LARGE_BYTES; sent += chunk.length) {
    chunk.writeUInt32BE(sent / chunk.length);
    if (!req.write(Buffer.from(chunk))) await once(req, 'drain');
  }
  req.end();
  await once(req, 'response');
}
