// Finds the rows of a path by walking its segments once, without backtracking. Which tree to walk is index.ts's business.
import { blocked } from '../catalogue/parse.ts';
import { type DecidedByBody } from '../catalogue/operation.ts';
import { METHODS, type Endpoint, type Method, type Scope } from '../catalogue/endpoint.ts';
import { tokensOf, type Token } from './pattern.ts';

/** What one method may mean on one path: a row, or several between which a body or a Destination header decides. */
export interface Rows {
  readonly first: Endpoint;
  /** All of them where there are several, else empty. */
  readonly alternatives: readonly Endpoint[];
  readonly by: DecidedByBody | 'destination' | undefined;
  /** Which document the path names, if any. */
  readonly names: Scope;
}

/** The end of a path: the rows by method, and what any other method gets. */
export interface Leaf {
  readonly byMethod: ReadonlyMap<string, Rows>;
  readonly otherwise: Rows;
}

interface Entry {
  /** The row that is applied. */
  readonly endpoint: Endpoint;
  /** The row whose place it is: the same one, but for overlaid databases. */
  readonly place: Endpoint;
}

class Node {
  readonly literals = new Map<string, Node>();
  plain: Node | undefined = undefined;
  underscored: Node | undefined = undefined;
  restPlain: Leaf | undefined = undefined;
  restUnderscored: Leaf | undefined = undefined;
  leaf: Leaf | undefined = undefined;
  /** Where a walk ends that goes on from here in a way no pattern describes. */
  deadEnd: Leaf | undefined = undefined;
  readonly entries: Entry[] = [];
  readonly restEntries: { plain: Entry[]; underscored: Entry[] } = { plain: [], underscored: [] };
}

export interface Trie {
  /** The leaf of the segments from `from` on; never nothing: what no row describes is `unknown`. */
  walk(segments: readonly string[], from: number): Leaf;
}

export interface TrieRules {
  readonly endpoints: readonly Endpoint[];
  /** How many leading segments of the patterns are left out, because the caller has already read them. */
  readonly skip: number;
  /** The row of paths that no pattern describes. */
  readonly unknown: Endpoint;
  /** The row that a wrong method is refused by. */
  readonly wrongMethod: Endpoint;
  /** Replaces rows, for the databases whose rows are overlaid; a replaced row keeps its place. */
  readonly overlay?: (endpoint: Endpoint) => Endpoint;
}

const UNDERSCORE = 95;

/** Builds the tree of `endpoints`. Throws at start when two patterns claim the same place in different ways. */
export function buildTrie(rules: TrieRules): Trie {
  const root = new Node();
  for (const row of rules.endpoints) {
    const entry: Entry = { endpoint: rules.overlay?.(row) ?? row, place: row };
    for (const tokens of tokensOf(row.path)) insert(root, tokens.slice(rules.skip), entry);
  }
  const unknown = leafOf([{ endpoint: rules.unknown, place: rules.unknown }], rules);
  finish(root, rules, unknown);
  return {
    walk(segments, from) {
      let node = root;
      for (let i = from; i < segments.length; i++) {
        const segment = segments[i] ?? '';
        const isUnderscored = segment.charCodeAt(0) === UNDERSCORE;
        const next = node.literals.get(segment) ?? (isUnderscored ? node.underscored : node.plain);
        if (next === undefined) {
          return (isUnderscored ? node.restUnderscored : node.restPlain) ?? node.deadEnd ?? unknown;
        }
        node = next;
      }
      return node.leaf ?? node.deadEnd ?? unknown;
    },
  };
}

function insert(node: Node, tokens: readonly Token[], entry: Entry): void {
  const [token, ...others] = tokens;
  if (token === undefined) {
    node.entries.push(entry);
  } else if (token.kind === 'literal') {
    const next = node.literals.get(token.text) ?? new Node();
    node.literals.set(token.text, next);
    insert(next, others, entry);
  } else if (token.kind === 'rest') {
    if (token.first !== 'underscored') node.restEntries.plain.push(entry);
    if (token.first !== 'plain') node.restEntries.underscored.push(entry);
  } else {
    insert(named(node, token.first), others, entry);
  }
}

function named(node: Node, first: 'any' | 'plain' | 'underscored'): Node {
  const known = first === 'underscored' ? node.underscored : node.plain;
  const next = known ?? new Node();
  if (first !== 'underscored') node.plain = next;
  if (first !== 'plain') {
    if (first === 'any' && node.underscored !== known) throw new Error('two patterns claim one segment');
    node.underscored = next;
  }
  return next;
}

/** A dead end falls to the nearest pattern above that closes everything else (`/_node/{node}/{anything*}`), else to `unknown`. */
function finish(node: Node, rules: TrieRules, deadEnd: Leaf): void {
  const { plain, underscored } = node.restEntries;
  if (node.entries.length > 0) node.leaf = leafOf(node.entries, rules);
  if (plain.length > 0) node.restPlain = leafOf(plain, rules);
  if (underscored.length > 0) node.restUnderscored = leafOf(underscored, rules);
  const closes = underscored.length > 0 && underscored.every(({ endpoint }) => isClosed(endpoint));
  node.deadEnd = closes ? node.restUnderscored : deadEnd;
  const children = new Set([...node.literals.values(), node.plain, node.underscored]);
  for (const child of children) if (child !== undefined) finish(child, rules, node.deadEnd ?? deadEnd);
}

function isClosed(endpoint: Endpoint): boolean {
  return endpoint.permit.kind === 'blocked' && endpoint.methods === '*';
}

function leafOf(entries: readonly Entry[], rules: TrieRules): Leaf {
  const byMethod = new Map<string, Rows>();
  for (const method of METHODS) {
    const rows = entries.filter(({ place }) => serves(place, method));
    if (rows.length > 0) byMethod.set(method, rowsOf(rows));
  }
  const allowed = METHODS.filter((method) => byMethod.has(method)).join(',');
  const wrong: Endpoint = Object.freeze({ ...rules.wrongMethod, permit: blocked(405, allowed) });
  return { byMethod, otherwise: rowsOf([{ endpoint: wrong, place: entries[0]?.place ?? wrong }]) };
}

function serves(endpoint: Endpoint, method: Method): boolean {
  return endpoint.methods === '*' || endpoint.methods.includes(method);
}

function rowsOf(entries: readonly Entry[]): Rows {
  const endpoints = [...new Set(entries.map(({ endpoint }) => endpoint))];
  const [entry] = entries;
  const [first] = endpoints;
  if (entry === undefined || first === undefined) throw new Error('a path without a row');
  if (endpoints.length === 1)
    return { first, alternatives: [], by: first.choice?.by, names: entry.place.scope };
  const by = first.choice?.by;
  if (by === undefined || endpoints.some((other) => other.choice?.by !== by)) {
    throw new Error(`rows ${endpoints.map(({ id }) => id).join(', ')} share a path and a method`);
  }
  return { first, alternatives: endpoints, by, names: entry.place.scope };
}
