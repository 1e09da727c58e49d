// Analyses a V8 CPU profile of Couchgate: time per folder, per library, and in system calls.
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Table } from './group.ts';

interface Frame {
  readonly functionName: string;
  readonly url: string;
}

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: Frame;
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** Microseconds between samples. */
  readonly timeDeltas: readonly number[];
}

/** Returns the options of Node that write a profile into the folder at exit. */
export function profiling(folder: string): readonly string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=200'];
}

/** Returns the shares of busy time from the largest profile in the folder: that of the serving process. */
export function whereTimeWent(folder: string): Table {
  const largest = readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => join(folder, name))
    .sort((a, b) => statSync(b).size - statSync(a).size)[0];
  if (largest === undefined) throw new Error(`no profile in ${folder}`);
  const shares = sharesOf(JSON.parse(readFileSync(largest, 'utf8')) as Profile);
  return {
    caption: 'Where the time of one worker goes',
    columns: ['', 'share'],
    rows: [...shares]
      .sort(([, a], [, b]) => b - a)
      .filter(([, share]) => share >= 0.005)
      .map(([name, share]) => [name, `${(share * 100).toFixed(1)} %`]),
  };
}

function sharesOf({ nodes, samples, timeDeltas }: Profile): ReadonlyMap<string, number> {
  const parents = new Map(
    nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)),
  );
  const frames = new Map(nodes.map((node) => [node.id, node.callFrame]));
  const owners = new Map<number, string>();
  const times = new Map<string, number>();
  let busy = 0;
  samples.forEach((sample, at) => {
    const owner = owners.get(sample) ?? ownerOf(sample, frames, parents);
    owners.set(sample, owner);
    if (owner === '(idle)') return;
    const time = timeDeltas[at] ?? 0;
    busy += time;
    times.set(owner, (times.get(owner) ?? 0) + time);
  });
  return new Map([...times].map(([owner, time]) => [owner, time / busy]));
}

/** Attributes a sample to a system call, else to the nearest code on the stack that is not part of Node. */
function ownerOf(
  sample: number,
  frames: ReadonlyMap<number, Frame>,
  parents: ReadonlyMap<number, number>,
): string {
  const name = frames.get(sample)?.functionName ?? '';
  if (name === '(idle)' || name === '(garbage collector)') return name;
  if (/^write(v|Latin1String|Utf8String|Buffer|AsciiString)$/.test(name))
    return 'system calls: writes to sockets';
  for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) {
    const url = frames.get(id)?.url ?? '';
    const library = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
    if (library !== undefined) return library;
    const folder = /\/dist\/(?:([^/]+)\/)?[^/]+$/.exec(url);
    if (folder !== null) return `Couchgate: ${folder[1] ?? 'src'}`;
  }
  return 'Node: HTTP parser, sockets, event loop';
}
