// Measures an export of a large database as CSV: time, and memory of the worker. Python reads the file back.
import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openAdmin, succeeded, type Admin } from '../../src/setup/admin.ts';
import { basic, createKey, grant, startCouchgate } from '../couchgate.ts';
import { type Group, type Plan, type Section } from '../group.ts';
import { forgetPeak, memoryKiB } from '../process.ts';
import { whole } from '../report.ts';
import { openBackend } from '../upstream.ts';

const DATABASE = 'table';
const TENTH = 'tenth';
const AT_ONCE = 2000;
const KIB_PER_MIB = 1024;
/** Garbage that is not collected yet; the documents of the larger export would be far more. */
const MAX_MORE_MIB = 32;
const READER = join(import.meta.dirname, '../read-export.py');
/** As in read-export.py. */
const FORMULAS = ['=1+1', '+1', '-1+2', '@SUM(A1)', '\t=1', '\r=1', '=HYPERLINK("http://a","b")', 'plain'];

export const exports: Group = { name: 'export', title: 'Export of a database', run };

async function run(plan: Plan): Promise<Section> {
  const documents = plan.long ? 1_000_000 : 100_000;
  const backend = await openBackend(plan);
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-bench-'));
  plan.atEnd(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'table.csv');
  plan.note(`writing ${whole(documents)} documents`);
  const admin = openAdmin({ url: backend.urls[0] ?? '', credentials: backend.owner });
  await fill(admin, TENTH, documents / 10);
  await fill(admin, DATABASE, documents);
  const gate = await startCouchgate(plan, { nodes: backend.urls, backend });
  const reader = await createKey(gate.url, backend.owner);
  for (const database of [TENTH, DATABASE])
    await grant(gate.url, backend.owner, database, { [reader.name]: ['_reader'] });
  const pathOf = (database: string): string => `/_api/v2/db/${database}/_export?format=csv`;
  const before = (memoryKiB(gate.pid)?.now ?? NaN) / KIB_PER_MIB;
  plan.note('an export of a tenth');
  const peakOf = (): number => (memoryKiB(gate.pid)?.peak ?? NaN) / KIB_PER_MIB;
  await save(`${gate.url}${pathOf(TENTH)}`, basic(reader), join(folder, 'tenth.csv'));
  const peakOfTenth = peakOf();
  forgetPeak(gate.pid);
  plan.note('the export');
  const begin = performance.now();
  await save(`${gate.url}${pathOf(DATABASE)}`, basic(reader), file);
  const seconds = (performance.now() - begin) / 1000;
  const peak = peakOf();
  plan.note('reading it');
  const read = JSON.parse(execFileSync('python3', [READER, file], { encoding: 'utf8' })) as Read;
  const isRead =
    read.rows === documents && read.columns.length === 1 && read.harmful === 0 && read.wrong === 0;
  return {
    text: `\`GET ${pathOf(DATABASE)}\` with an API key, ${whole(documents)} documents with 9 fields on one CouchDB node, after an export of a tenth of that. Memory is the RSS of Couchgate, one worker.`,
    tables: [
      {
        columns: [
          'rows',
          'MiB',
          'seconds',
          'rows/s',
          'RSS before, MiB',
          'peak with a tenth',
          'peak RSS, MiB',
        ],
        rows: [
          [
            whole(read.rows),
            whole(statSync(file).size / KIB_PER_MIB ** 2),
            seconds.toFixed(0),
            whole(read.rows / seconds),
            whole(before),
            whole(peakOfTenth),
            whole(peak),
          ],
        ],
      },
    ],
    findings: [
      {
        target: `constant memory: at most ${MAX_MORE_MIB} MiB more than with a tenth of the rows`,
        measured: `${whole(peak - peakOfTenth)} MiB`,
        // With few rows, the heap has not reached its size.
        holds: plan.long ? peak - peakOfTenth <= MAX_MORE_MIB : undefined,
      },
      {
        target: "Python's csv reads every cell as it was written, and none begins a formula",
        measured: `${whole(read.cells)} cells in ${read.columns.join(', ')} columns, ${read.wrong} wrong, ${read.harmful} formulas`,
        holds: isRead,
      },
    ],
  };
}

/** What read-export.py prints. */
interface Read {
  readonly rows: number;
  readonly columns: readonly number[];
  readonly cells: number;
  readonly harmful: number;
  readonly wrong: number;
}

async function fill(admin: Admin, database: string, count: number): Promise<void> {
  succeeded(await admin.ask('PUT', `/${database}`), 'creating a database');
  for (let at = 0; at < count; at += AT_ONCE) {
    const docs = Array.from({ length: AT_ONCE }, (_, more) => {
      const n = at + more;
      return {
        _id: `doc-${String(n).padStart(8, '0')}`,
        n,
        minus: 0 - n,
        formula: FORMULAS[n % FORMULAS.length],
        text: `"${n}", a;b\r\nline 2 — ünï \u{1f600}`,
        nothing: null,
        flag: n % 2 === 1,
        nested: { list: [n, null, 'x'] },
      };
    });
    succeeded(await admin.ask('POST', `/${database}/_bulk_docs`, { docs }), 'writing documents');
  }
}

async function save(url: string, authorization: string, file: string): Promise<void> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { headers: { Authorization: authorization } }, resolve).once('error', reject);
  });
  if (answer.statusCode !== 200) throw new Error(`the export was answered ${String(answer.statusCode)}`);
  await pipeline(answer, createWriteStream(file));
}
