// Measures a worker with many API keys in the store: memory, start, warm and cold requests, revocation.
import { type Backend } from '../../test/support/backend.ts';
import { ask, basic, type Credentials, startCouchgate } from '../couchgate.ts';
import { type Finding, type Group, type Plan, type Section, type Table } from '../group.ts';
import { addKeys } from '../keys.ts';
import { sendEachOnce } from '../load/each-once.ts';
import { putUnderLoad } from '../load/load.ts';
import { cpuSeconds, memoryKiB, type Running } from '../process.ts';
import { median } from '../rounds.ts';
import { openBackend } from '../upstream.ts';

/** Answered by Couchgate itself, for every name with a valid password. */
const PATH = '/_session';
const CONNECTIONS = 8;
const REVOCATIONS = 10;
const REVOKED_WITHIN_MS = 2000;
const FLAT = 0.1;

export const keys: Group = { name: 'keys', title: 'Keys: a worker with many API keys in the store', run };

interface Measured {
  readonly name: string;
  readonly startMs: number;
  readonly idleMiB: number;
  readonly usedMiB: number;
  readonly coldMs: number;
  readonly warmMs: number;
  readonly revokedMs: readonly number[];
}

async function run(plan: Plan): Promise<Section> {
  const backend = await openBackend(plan);
  const counts =
    backend.kind === 'embedded' ? [10, 1000] : plan.long ? [100_000, 1_000_000] : [1000, 100_000];
  const roots = [undefined, ...(plan.against === undefined ? [] : [plan.against])];
  const used = Math.min(5000, Math.floor((counts[0] ?? 0) / roots.length));
  const measured: Measured[] = [];
  const stores = new Map<number, readonly Credentials[]>();
  for (const [at, root] of roots.entries())
    for (const count of counts) {
      const store = `keys-${String(count)}`;
      if (!stores.has(count)) {
        plan.note(`adding ${String(count)} keys`);
        stores.set(count, await addKeys(backend, store, count));
      }
      // Keys of its own: some are revoked in the end.
      const step = Math.floor(count / used);
      const some = (stores.get(count) ?? []).filter((_, key) => key % step === at).slice(0, used);
      const name = `${count.toLocaleString('en').replaceAll(',', ' ')}${root === undefined ? '' : ', the other checkout'}`;
      plan.note(`measuring ${name}`);
      const found = await measure(plan, { backend, store, some, name, root });
      plan.note(JSON.stringify(found));
      measured.push(found);
    }
  const own = measured.slice(0, counts.length);
  return {
    text:
      `One worker, the store on ${backend.kind === 'couchdb' ? 'one node of CouchDB' : 'the embedded node'}, GET ${PATH} with Basic. ` +
      `${String(used)} keys each send a first request (cold), ${String(CONNECTIONS)} at a time; then ten of them send requests for ${String(plan.seconds)} s, ` +
      `${String(plan.rounds)} times (warm, median). Start: from the start of the process to the first answer to a key. Memory is resident memory (RSS): after the ` +
      `start, when the process is idle, and after the requests. Revoked: from DELETE at another replica to the first request that is refused, ${String(REVOCATIONS)} times.`,
    tables: [table(measured)],
    findings: findings(own),
  };
}

function table(measured: readonly Measured[]): Table {
  return {
    columns: [
      'keys in the store',
      'start s',
      'MiB idle',
      'MiB after requests',
      'cold: CPU ms',
      'warm: CPU ms',
      'revoked after ms: median, most',
    ],
    rows: measured.map(({ name, startMs, idleMiB, usedMiB, coldMs, warmMs, revokedMs }) => [
      name,
      (startMs / 1000).toFixed(2),
      idleMiB.toFixed(0),
      usedMiB.toFixed(0),
      coldMs.toFixed(3),
      warmMs.toFixed(3),
      `${median(revokedMs).toFixed(0)}, ${Math.max(...revokedMs).toFixed(0)}`,
    ]),
  };
}

function findings(own: readonly Measured[]): readonly Finding[] {
  const [few, many] = [own[0], own.at(-1)];
  if (few === undefined || many === undefined) return [];
  const ratio = (value: (of: Measured) => number): number => value(many) / value(few);
  const slowest = Math.max(...own.flatMap(({ revokedMs }) => revokedMs));
  const memory = ratio(({ usedMiB }) => usedMiB);
  const warm = ratio(({ warmMs }) => warmMs);
  return [
    { target: 'memory flat within 10 %', measured: memory.toFixed(2), holds: memory <= 1 + FLAT },
    { target: 'CPU of a warm key flat within 10 %', measured: warm.toFixed(2), holds: warm <= 1 + FLAT },
    {
      target: `a revocation is in force within ${String(REVOKED_WITHIN_MS)} ms`,
      measured: `${slowest.toFixed(0)} ms at most`,
      holds: slowest < REVOKED_WITHIN_MS,
    },
  ];
}

interface Stored {
  readonly backend: Backend;
  readonly store: string;
  readonly some: readonly Credentials[];
  readonly name: string;
  readonly root: string | undefined;
}

async function measure(plan: Plan, { backend, store, some, name, root }: Stored): Promise<Measured> {
  const start = (): Promise<Running> =>
    startCouchgate(plan, {
      nodes: backend.urls,
      backend,
      settings: { COUCHGATE_STORE_DATABASE: store },
      ...(root === undefined ? {} : { root }),
    });
  // Builds the checkout, which must not count.
  await (await start()).stop();
  const startedAt = performance.now();
  const couchgate = await start();
  await accepted(couchgate.url, some[0]);
  const startMs = performance.now() - startedAt;
  await idle(couchgate.pid);
  const idleMiB = mib(couchgate.pid);
  const authorizations = some.map(basic);
  const cold = await cpuOf(couchgate.pid, () =>
    sendEachOnce({ url: couchgate.url, path: PATH, authorizations, connections: CONNECTIONS }),
  );
  if (cold.result.statuses.get(200) !== some.length) throw new Error('a key was refused');
  const warm: number[] = [];
  const load = {
    ...{ url: couchgate.url, path: PATH, connections: CONNECTIONS, seconds: plan.seconds },
    sequence: authorizations.slice(0, 10).map((authorization) => ({ authorization })),
  };
  for (let round = 0; round <= plan.rounds; round += 1) {
    const { seconds, result } = await cpuOf(couchgate.pid, () => putUnderLoad(load));
    // The first round warms up.
    if (round > 0) warm.push((seconds / result.requests) * 1000);
  }
  const usedMiB = mib(couchgate.pid);
  const other = await start();
  const revokedMs: number[] = [];
  for (const key of some.slice(-REVOCATIONS)) revokedMs.push(await revoke(backend, other, couchgate, key));
  await Promise.all([couchgate.stop(), other.stop()]);
  const coldMs = (cold.seconds / some.length) * 1000;
  return { name, startMs, idleMiB, usedMiB, coldMs, warmMs: median(warm), revokedMs };
}

/** Returns the time in ms from the request that revokes the key `at` one replica to its end on another. */
async function revoke(backend: Backend, at: Running, on: Running, key: Credentials): Promise<number> {
  await accepted(on.url, key);
  const startedAt = performance.now();
  const revoked = ask(at.url, backend.owner, 'DELETE', `/_api/v2/api_keys/${key.name}`);
  for (;;) {
    const sentAt = performance.now();
    // The answer to a refused request comes later, so that its time tells no names.
    const { status } = await fetch(`${on.url}${PATH}`, { headers: { Authorization: basic(key) } });
    if (status === 200) continue;
    await revoked;
    return sentAt - startedAt;
  }
}

async function accepted(url: string, key: Credentials | undefined): Promise<void> {
  const headers = { Authorization: basic(key ?? { name: '', password: '' }) };
  const { status } = await fetch(`${url}${PATH}`, { headers });
  if (status !== 200) throw new Error(`the key was answered with ${String(status)}`);
}

async function cpuOf<T>(pid: number, work: () => Promise<T>): Promise<{ seconds: number; result: T }> {
  const before = cpuSeconds(pid) ?? NaN;
  const result = await work();
  return { seconds: (cpuSeconds(pid) ?? NaN) - before, result };
}

/** Waits until the process has used almost no CPU for two seconds. */
async function idle(pid: number): Promise<void> {
  for (;;) {
    const { seconds } = await cpuOf(pid, () => new Promise((resolve) => setTimeout(resolve, 2000)));
    if (Number.isNaN(seconds) || seconds < 0.1) return;
  }
}

function mib(pid: number): number {
  return (memoryKiB(pid)?.now ?? NaN) / 1024;
}
