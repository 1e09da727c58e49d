// Measures the cost of the first request of a credential, and the effect of wrong passwords on other clients.
import { addKeys } from '../keys.ts';
import { ask, basic, grant, startCouchgate } from '../couchgate.ts';
import { type Finding, type Group, type Plan, type Section, type Table } from '../group.ts';
import { sendEachOnce } from '../load/each-once.ts';
import { putUnderLoad } from '../load/load.ts';
import { cpuSeconds, type Running } from '../process.ts';
import { whole } from '../report.ts';
import { openBackend, startTrivialUpstream } from '../upstream.ts';

const KEYS = 10_000;
const PATH = '/bench/doc';
const CONNECTIONS = 8;
const STORM_PER_SECOND = 1000;
const STORM_SECONDS = 5;

export const cold: Group = {
  name: 'cold',
  title: 'Cold: credentials never seen before, and wrong ones',
  run,
};

async function run(plan: Plan): Promise<Section> {
  const backend = await openBackend(plan);
  plan.note(`adding ${String(KEYS)} keys`);
  const keys = await addKeys(backend, 'couchgate', KEYS);
  const upstream = await startTrivialUpstream(plan, { bytes: 500, node: backend.urls[0] ?? '' });
  const couchgate = await startCouchgate(plan, { nodes: [upstream.url], backend });
  await ask(couchgate.url, backend.owner, 'PUT', '/bench');
  await grant(
    couchgate.url,
    backend.owner,
    'bench',
    Object.fromEntries(keys.map(({ name }) => [name, ['_reader']])),
  );
  const [warmKey = '', ...others] = keys.map(basic);
  plan.note('first requests of keys');
  const first = await firstRequests(couchgate, warmKey, others);
  plan.note('wrong passwords');
  const storm = await wrongPasswords(couchgate, warmKey);
  return {
    text:
      `${whole(KEYS)} keys with grants on one database. Each key sends one request, ${String(CONNECTIONS)} at a time; then each sends a second one. ` +
      `Wrong passwords come from another address, ${whole(STORM_PER_SECOND)} per second, while a valid key keeps reading.`,
    tables: [first.table, storm.table],
    findings: [first.finding, ...storm.findings],
  };
}

async function firstRequests(
  couchgate: Running,
  warmKey: string,
  authorizations: readonly string[],
): Promise<{ table: Table; finding: Finding }> {
  // Warm-up: the JIT compiler must not count towards the first keys.
  await putUnderLoad({
    url: couchgate.url,
    path: PATH,
    headers: { Authorization: warmKey },
    connections: CONNECTIONS,
    seconds: 3,
  });
  const measure = async (): Promise<{ cpuMs: number; perSecond: number }> => {
    const before = cpuSeconds(couchgate.pid) ?? NaN;
    const { statuses, seconds } = await sendEachOnce({
      url: couchgate.url,
      path: PATH,
      authorizations,
      connections: CONNECTIONS,
    });
    const cpu = (cpuSeconds(couchgate.pid) ?? NaN) - before;
    if (statuses.get(200) !== authorizations.length) throw new Error('a key was refused');
    return { cpuMs: (cpu / authorizations.length) * 1000, perSecond: authorizations.length / seconds };
  };
  const unseen = await measure();
  const seen = await measure();
  return {
    table: {
      columns: ['', 'requests/s', 'CPU ms per request'],
      rows: [
        ['each key for the first time', whole(unseen.perSecond), unseen.cpuMs.toFixed(3)],
        ['each key for the second time', whole(seen.perSecond), seen.cpuMs.toFixed(3)],
      ],
    },
    finding: {
      target: 'first request of a key: < 0.5 ms CPU',
      measured: `${unseen.cpuMs.toFixed(3)} ms, ${(unseen.cpuMs - seen.cpuMs).toFixed(3)} ms more than the second`,
      holds: unseen.cpuMs < 0.5,
    },
  };
}

async function wrongPasswords(
  couchgate: Running,
  goodKey: string,
): Promise<{ table: Table; findings: readonly Finding[] }> {
  const authorizations = Array.from({ length: STORM_PER_SECOND * STORM_SECONDS }, (_, n) =>
    basic({ name: `stranger-${String(n % 50)}`, password: `wrong-${String(n)}` }),
  );
  const storm = async () => {
    const result = await sendEachOnce({
      url: couchgate.url,
      path: PATH,
      authorizations,
      connections: 32,
      from: '127.0.0.2',
      perSecond: STORM_PER_SECOND,
    });
    if (result.statuses.has(200)) throw new Error('a wrong password was accepted');
    return result.statuses;
  };
  const good = () =>
    putUnderLoad({
      url: couchgate.url,
      path: PATH,
      headers: { Authorization: goodKey },
      connections: 4,
      seconds: STORM_SECONDS,
    });
  const before = cpuSeconds(couchgate.pid) ?? NaN;
  const statuses = await storm();
  const stormCpu = ((cpuSeconds(couchgate.pid) ?? NaN) - before) / authorizations.length;
  const alone = await good();
  const [together] = await Promise.all([good(), storm()]);
  if (together.refused > 0 || together.failed > 0)
    throw new Error('a valid password was refused during the wrong ones');
  const answers = [...statuses].map(([status, count]) => `${String(count)} × ${String(status)}`).join(', ');
  return {
    table: {
      columns: ['', 'requests/s', 'p50 ms', 'p99 ms'],
      rows: [
        ['a key alone', whole(alone.requests / alone.seconds), alone.p50.toFixed(2), alone.p99.toFixed(2)],
        [
          'a key during wrong passwords',
          whole(together.requests / together.seconds),
          together.p50.toFixed(2),
          together.p99.toFixed(2),
        ],
      ],
    },
    findings: [
      {
        target: 'wrong passwords: CPU bounded',
        measured: `${(stormCpu * 1000).toFixed(3)} ms CPU each (${answers})`,
        holds: stormCpu < 0.0005,
      },
      {
        target: 'other clients not affected',
        measured: `none refused; p99 ${together.p99.toFixed(1)} ms against ${alone.p99.toFixed(1)} ms`,
        holds: together.p99 < Math.max(50, alone.p99 * 5),
      },
    ],
  };
}
