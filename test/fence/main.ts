// `tsx test/fence/main.ts --out FILE` records how Couchgate treats several thousand requests; `--compare BEFORE AFTER` prints where two
// recordings differ, and exits with 1 if they do. `--collect FIRST SECOND` renews the requests of the hostile tests from two runs of them.
import { readFileSync, writeFileSync } from 'node:fs';
import { startPolicyFront } from '../support/policy-front.ts';
import { stableRequests } from './collect.ts';
import { differences, parseRecording } from './compare.ts';
import { flowSteps } from './flows.ts';
import { randomRequests } from './random.ts';
import { record, type FenceRecord } from './record.ts';
import { type FenceRequest } from './request.ts';
import { HOSTILE_FILE, hostileRequests, matrixRequests } from './sources.ts';

const RANDOM_REQUESTS = 2000;

/** Each group meets a Couchgate of its own, one request at a time: what one changes, the next ones see in the same order. */
async function recordAll(requests: readonly FenceRequest[]): Promise<readonly FenceRecord[]> {
  const front = await startPolicyFront();
  const records: FenceRecord[] = [];
  for (const request of requests) records.push(await record(front, request));
  await front.close();
  return records;
}

async function recordFlows(): Promise<readonly FenceRecord[]> {
  const front = await startPolicyFront({ realCredentials: true });
  const records: FenceRecord[] = [];
  const kept = new Map<string, string>();
  for (const { request, keep } of flowSteps(kept)) {
    const made = await record(front, request, (answer) => {
      for (const [name, pattern] of Object.entries(keep)) kept.set(name, pattern.exec(answer)?.[1] ?? '');
    });
    records.push(withoutValues(made, kept));
  }
  await front.close();
  return records;
}

/** Keys, passwords and cookies are others in every run. */
function withoutValues(made: FenceRecord, kept: ReadonlyMap<string, string>): FenceRecord {
  let text = JSON.stringify(made);
  for (const [name, value] of kept) if (value !== '') text = text.replaceAll(value, `{${name}}`);
  return JSON.parse(text) as FenceRecord;
}

const [option, ...files] = process.argv.slice(2);
if (option === '--out' && files[0] !== undefined) {
  const records: FenceRecord[] = [];
  for (const group of [matrixRequests(), hostileRequests(), randomRequests(RANDOM_REQUESTS)])
    records.push(...(await recordAll(group)));
  records.push(...(await recordFlows()));
  writeFileSync(files[0], records.map((each) => `${JSON.stringify(each)}\n`).join(''));
  process.stdout.write(`${records.length} requests recorded\n`);
} else if (option === '--compare' && files.length === 2) {
  const [before, after] = files.map((file) => parseRecording(readFileSync(file, 'utf8')));
  const found = differences(before ?? new Map(), after ?? new Map());
  process.stdout.write([...found, `${found.length} requests differ\n`].join('\n'));
  process.exitCode = found.length === 0 ? 0 : 1;
} else if (option === '--collect' && files.length === 2) {
  const [first = '', second = ''] = files.map((file) => readFileSync(file, 'utf8'));
  writeFileSync(HOSTILE_FILE, stableRequests(first, second));
} else {
  process.stderr.write(
    'usage: tsx test/fence/main.ts --out FILE | --compare BEFORE AFTER | --collect FIRST SECOND\n',
  );
  process.exitCode = 2;
}
