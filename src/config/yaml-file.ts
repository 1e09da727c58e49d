// Parses one YAML file into top-level entries with line numbers.
import { readFileSync } from 'node:fs';
import {
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
  type Pair,
} from 'yaml';
import { readFailure, type Problem } from './problem.ts';

export interface Entry {
  readonly key: string;
  readonly value: unknown;
  readonly line: number;
  /** Lines of the elements if the value is a list. */
  readonly itemLines: readonly number[];
}

export interface YamlFile {
  readonly entries: readonly Entry[];
  readonly problems: readonly Problem[];
}

/** Maximum file size; enough for a whitelist of 20,000 ranges. */
const MAX_BYTES = 1_048_576;

const EMPTY = 'is empty. Write a setting or a comment into it, or remove it before the start';

/**
 * Reads a file; a missing file has no entries. Problems report the file as `name` and never quote its text.
 */
export function readYamlFile(path: string, name: string): YamlFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { entries: [], problems: [] };
    return { entries: [], problems: [{ file: name, path: '', reason: readFailure(error) }] };
  }
  if (text.length > MAX_BYTES)
    return { entries: [], problems: [{ file: name, path: '', reason: 'is larger than 1 MiB' }] };
  // A full disk empties a file. Without its rules, every address could connect (H40.2).
  if (text.trim() === '') return { entries: [], problems: [{ file: name, path: '', reason: EMPTY }] };
  return parseYaml(text, name);
}

/** Parses the text of a configuration file: one map, unique keys, no aliases, one document. */
export function parseYaml(text: string, name: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, schema: 'core' });
  // A YAML warning (an unknown tag) means that the value differs from what the author intended.
  const problems: Problem[] = [...document.errors, ...document.warnings].map((error) => ({
    file: name,
    line: lines.linePos(error.pos[0]).line,
    path: '',
    reason: `is not valid YAML here (${error.code.toLowerCase().replaceAll('_', ' ')})`,
  }));
  const top = document.contents;
  if (problems.length > 0 || top === null || (isScalar(top) && top.value === null))
    return { entries: [], problems };
  if (!isMap<Node, Node | null>(top))
    return {
      entries: [],
      problems: [{ file: name, line: 1, path: '', reason: 'must contain `name: value` lines' }],
    };
  const values = plainValues(document);
  if (values === undefined)
    return { entries: [], problems: [{ file: name, path: '', reason: 'must not contain YAML aliases' }] };
  return { entries: top.items.map((pair) => readEntry(pair, values, lines)), problems };
}

function plainValues(document: Document): ReadonlyMap<unknown, unknown> | undefined {
  try {
    return document.toJS({ maxAliasCount: 0, mapAsMap: true }) as ReadonlyMap<unknown, unknown>;
  } catch {
    return undefined;
  }
}

function readEntry(
  { key, value }: Pair<Node, Node | null>,
  values: ReadonlyMap<unknown, unknown>,
  lines: LineCounter,
): Entry {
  const lineOf = (node: Node | null): number => lines.linePos(node?.range?.[0] ?? 0).line;
  const name = isScalar(key) ? key.value : undefined;
  return {
    key: typeof name === 'string' ? name : '(a key that is not text)',
    value: values.get(name),
    line: lineOf(key),
    itemLines: isSeq<Node>(value) ? value.items.map(lineOf) : [],
  };
}
