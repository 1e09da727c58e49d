// Finds the cycles between the folders of src. A file directly in src counts as a folder of its own.
import { folderOf, localImportsOf, type SourceFile } from './source-file.ts';

/** From a folder to the folders that it imports, each with one import as an example. */
type Graph = ReadonlyMap<string, ReadonlyMap<string, string>>;

const nodeOf = (path: string): string => folderOf(path) || path;

function graphOf(files: readonly SourceFile[]): Graph {
  const graph = new Map<string, Map<string, string>>();
  for (const file of files)
    for (const { path } of localImportsOf(file)) {
      const from = nodeOf(file.path);
      const to = nodeOf(path);
      if (from === to) continue;
      const edges = graph.get(from) ?? new Map<string, string>();
      graph.set(from, edges);
      if (!edges.has(to)) edges.set(to, `${file.path} imports ${path}`);
    }
  return graph;
}

/** The shortest way from one folder to another, both included. */
function pathBetween(graph: Graph, from: string, to: string): readonly string[] | undefined {
  const cameFrom = new Map<string, string | undefined>([[from, undefined]]);
  for (const at of cameFrom.keys()) {
    if (at === to) {
      const path: string[] = [];
      for (let step: string | undefined = at; step !== undefined; step = cameFrom.get(step))
        path.unshift(step);
      return path;
    }
    for (const next of [...(graph.get(at)?.keys() ?? [])].sort())
      if (!cameFrom.has(next)) cameFrom.set(next, at);
  }
  return undefined;
}

/** The same cycle from whichever of its folders comes first in the alphabet. */
function canonical(cycle: readonly string[]): readonly string[] {
  const first = cycle.indexOf([...cycle].sort()[0] ?? '');
  return [...cycle.slice(first), ...cycle.slice(0, first)];
}

/**
 * The cycles, each as `a → b → a`, with the imports that close it. Every import that is part of a cycle is in one
 * of them: the shortest that contains it.
 */
export function folderCycles(files: readonly SourceFile[]): ReadonlyMap<string, readonly string[]> {
  const graph = graphOf(files);
  const cycles = new Map<string, readonly string[]>();
  for (const [from, edges] of graph)
    for (const to of edges.keys()) {
      const back = pathBetween(graph, to, from);
      if (back === undefined) continue;
      const cycle = canonical(back);
      const closed = [...cycle, cycle[0] ?? ''];
      cycles.set(
        closed.join(' → '),
        cycle.map((folder, at) => graph.get(folder)?.get(closed[at + 1] ?? '') ?? ''),
      );
    }
  return cycles;
}
