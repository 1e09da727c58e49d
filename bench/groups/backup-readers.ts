// Measures what clients notice of a backup: latencies of reads at a fixed rate, without and with a backup
// that Couchgate runs in the background.
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openAdmin } from '../../src/setup/admin.ts';
import { documentId, writeDocuments } from '../backup-documents.ts';
import { ask, basic, createKey, grant, startCouchgate, type Credentials } from '../couchgate.ts';
import { type Group, type Plan, type Section } from '../group.ts';
import { percentile, startFixedRate, type RunningRate } from '../load/fixed-rate.ts';
import { median } from '../rounds.ts';
import { whole } from '../report.ts';
import { openBackend } from '../upstream.ts';

const READS_PER_SECOND = 200;
const DATABASE = 'bench';
/** Readers' p99 may grow by a quarter. */
const MAX_RATIO = 1.25;
const WARM_MS = 10_000;
const POLL_MS = 500;

export const backupReaders: Group = { name: 'backup-readers', title: 'Readers during a backup', run };

interface Round {
  readonly p50: number;
  readonly p99: number;
  readonly seconds: number;
}

async function run(plan: Plan): Promise<Section> {
  const documents = plan.long ? 100_000 : 20_000;
  const backend = await openBackend(plan);
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-bench-'));
  plan.atEnd(() => rmSync(folder, { recursive: true }));
  const repository = join(folder, 'repository');
  plan.note(`writing ${whole(documents)} documents`);
  const admin = openAdmin({ url: backend.urls[0] ?? '', credentials: backend.owner });
  await writeDocuments(admin, DATABASE, documents);
  const settings = { COUCHGATE_BACKUP_REPOSITORY: repository };
  const gate = await startCouchgate(plan, { nodes: backend.urls, backend, settings });
  const reader = await createKey(gate.url, backend.owner);
  await grant(gate.url, backend.owner, DATABASE, { [reader.name]: ['_reader'] });
  const rate = startFixedRate({
    url: gate.url,
    headers: { Authorization: basic(reader) },
    perSecond: READS_PER_SECOND,
    pathOf: () => `/${DATABASE}/${documentId(randomInt(documents))}`,
  });
  plan.atEnd(() => rate.stop());
  await delay(WARM_MS);
  const without: Round[] = [];
  const during: Round[] = [];
  // The first round warms up, and is not counted.
  for (let round = 0; round <= plan.rounds; round += 1) {
    const busy = await measured(rate, () => backUp(gate.url, backend.owner));
    // Every backup is a full one.
    rmSync(repository, { recursive: true });
    const idle = await measured(rate, () => delay(busy.seconds * 1000));
    plan.note(
      `round ${round}: p99 ${idle.p99.toFixed(1)} ms; ${busy.p99.toFixed(1)} ms in a backup of ${busy.seconds.toFixed(0)} s`,
    );
    if (round === 0) continue;
    without.push(idle);
    during.push(busy);
  }
  const middle = (rounds: readonly Round[], of: keyof Round): number => median(rounds.map((one) => one[of]));
  const ratio = middle(during, 'p99') / middle(without, 'p99');
  const row = (name: string, rounds: readonly Round[]): string[] => [
    name,
    middle(rounds, 'p50').toFixed(2),
    middle(rounds, 'p99').toFixed(2),
    `${Math.min(...rounds.map(({ p99 }) => p99)).toFixed(2)} … ${Math.max(...rounds.map(({ p99 }) => p99)).toFixed(2)}`,
  ];
  const seconds = middle(during, 'seconds');
  return {
    text: `${READS_PER_SECOND} reads of documents per second through Couchgate, sent on time whatever the answers take, on one CouchDB node with ${whole(documents)} documents of 1 KB. In turn without a backup, and during a full one over HTTP, from its request to its end: ${seconds.toFixed(0)} s, ${whole(documents / seconds)} documents per second. Medians of ${plan.rounds} rounds.`,
    tables: [
      {
        columns: ['', 'p50 ms', 'p99 ms', 'lowest … highest p99'],
        rows: [row('no backup', without), row('during a backup', during)],
      },
    ],
    findings: [
      {
        target: 'p99 of readers during a backup: at most 1.25 of that without',
        measured: ratio.toFixed(2),
        holds: ratio <= MAX_RATIO,
      },
    ],
  };
}

/** Latencies of the requests that were due while `work` ran. */
async function measured(rate: RunningRate, work: () => Promise<void>): Promise<Round> {
  const begin = performance.now();
  await work();
  const end = performance.now();
  const latencies = await rate.between(begin, end);
  return {
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    seconds: (end - begin) / 1000,
  };
}

/** Runs a backup job, and resolves when it has ended. Throws unless it is done. */
async function backUp(url: string, owner: Credentials): Promise<void> {
  const body = { databases: [DATABASE] };
  const { id } = (await ask(url, owner, 'POST', '/_api/v2/backup/run', body)) as { id: string };
  for (;;) {
    await delay(POLL_MS);
    const { state } = (await ask(url, owner, 'GET', `/_api/v2/backup/jobs/${id}`)) as { state: string };
    if (state === 'done') return;
    if (state !== 'queued' && state !== 'running') throw new Error(`the backup is ${state}`);
  }
}
