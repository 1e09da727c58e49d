// Search tree over path segments. A lookup visits each segment once, without backtracking.
import { allowedMethods } from '../catalogue/allowed-methods.ts';
import { type EndpointId } from '../catalogue/catalogue.ts';
import { refusal } from '../catalogue/parse.ts';
import { type DecidedByBody } from '../catalogue/operation.ts';
import { METHODS, type Endpoint, type Method, type ExplainedTo } from '../catalogue/endpoint.ts';
import { tokensOf, type Token } from './pattern.ts';

/** Endpoints of one method on one path. If there are several, a body or a Destination header chooses. */
export interface Matches {
  readonly first: Endpoint;
  /** All endpoints if there are several, else empty. */
  readonly alternatives: readonly Endpoint[];
  readonly by: DecidedByBody | 'destination' | undefined;
  /** The ordinary endpoint of the path. Its scope decides how the path names a document. */
  readonly place: Endpoint;
}

/** End of a path: its endpoints by method, and the refusal for any other method. */
export interface Leaf {
  readonly byMethod: ReadonlyMap<string, Matches>;
  readonly otherwise: Matches;
}

interface Entry {
  /** The endpoint that is applied. */
  readonly endpoint: Endpoint;
  /** The endpoint of this path before an overlay; the same one without an overlay. */
  readonly place: Endpoint;
}

class Node {
  readonly literals = new Map<string, Node>();
  plain: Node | undefined = undefined;
  underscored: Node | undefined = undefined;
  restPlain: Leaf | undefined = undefined;
  restUnderscored: Leaf | undefined = undefined;
  leaf: Leaf | undefined = undefined;
  /** Leaf for paths that continue below this node but match no pattern. */
  deadEnd: Leaf | undefined = undefined;
  readonly entries: Entry[] = [];
  readonly restEntries: { plain: Entry[]; underscored: Entry[] } = { plain: [], underscored: [] };
}

/** A search tree. */
export interface Trie {
  /** Returns the leaf of the segments from index `from` on. If no endpoint matches, the leaf is `unknown`. */
  walk(segments: readonly string[], from: number): Leaf;
}

/** Input of a search tree. */
export interface TrieRules {
  readonly endpoints: readonly Endpoint[];
  /** Number of leading pattern segments to skip, because the caller has already checked them. */
  readonly skip: number;
  /** Endpoint of paths that match no pattern. */
  readonly unknown: Endpoint;
  /** Endpoint that refuses a wrong method. */
  readonly wrongMethod: Endpoint;
  /**
   * Replaces endpoints on system databases (overlay.ts). The methods and scope of the replaced endpoint stay
   * in effect.
   */
  readonly overlay?: (endpoint: Endpoint) => Endpoint;
}

const UNDERSCORE = 95;

/** Builds the tree of `endpoints`. Throws at start if two patterns contradict each other. */
export function buildTrie(rules: TrieRules): Trie {
  const root = new Node();
  for (const place of rules.endpoints) {
    const entry: Entry = { endpoint: rules.overlay?.(place) ?? place, place };
    for (const tokens of tokensOf(place.path)) insert(root, tokens.slice(rules.skip), entry);
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
    if (first === 'any' && node.underscored !== known)
      throw new Error('two patterns contradict each other on one segment');
    node.underscored = next;
  }
  return next;
}

/**
 * Sets the leaves of a node and of all nodes below. A dead end gets the nearest pattern above that blocks
 * everything else, such as `/_node/{node}/{anything*}`. Without one it gets `unknown`.
 */
function finish(node: Node, rules: TrieRules, deadEnd: Leaf): void {
  const { plain, underscored } = node.restEntries;
  if (node.entries.length > 0) node.leaf = leafOf(node.entries, rules);
  if (plain.length > 0) node.restPlain = leafOf(plain, rules);
  if (underscored.length > 0) node.restUnderscored = leafOf(underscored, rules);
  const isBlocked =
    underscored.length > 0 && underscored.every(({ endpoint }) => blocksEveryMethod(endpoint));
  node.deadEnd = isBlocked ? node.restUnderscored : deadEnd;
  const children = new Set([...node.literals.values(), node.plain, node.underscored]);
  for (const child of children) if (child !== undefined) finish(child, rules, node.deadEnd ?? deadEnd);
}

function blocksEveryMethod(endpoint: Endpoint): boolean {
  return endpoint.permit.kind === 'blocked' && endpoint.methods === '*';
}

function leafOf(entries: readonly Entry[], rules: TrieRules): Leaf {
  const byMethod = new Map<Method, Matches>();
  for (const method of METHODS) {
    const matching = entries.filter(({ place }) => serves(place, method));
    if (matching.length > 0) byMethod.set(method, matchesOf(matching));
  }
  const everyMethod = entries.filter(({ place }) => place.methods === '*');
  const otherwise = everyMethod.length > 0 ? everyMethod : [wrongMethodOn(entries, byMethod, rules)];
  return { byMethod, otherwise: matchesOf(otherwise) };
}

/** Paths on which CouchDB checks the right before the method, and server endpoints that a role opens. */
const CHECKED_FIRST: ReadonlySet<string> = new Set<EndpointId>([
  'compact',
  'compact-design',
  'view-cleanup',
  'sync-shards',
  'purge',
  'purged-infos-limit-get',
  'db-updates',
  'replicate',
]);

/** The refusal of a method that the path does not have, as CouchDB answers it. */
function wrongMethodOn(
  entries: readonly Entry[],
  byMethod: ReadonlyMap<Method, Matches>,
  { wrongMethod }: TrieRules,
): Entry {
  const places = entries.map(({ place }) => place);
  const allowed = allowedMethods(places, new Set(byMethod.keys()));
  const first = entries.find(({ place }) => CHECKED_FIRST.has(place.id))?.endpoint;
  const permit = refusal(405, 'method_not_allowed', allowed, explainedTo(places), first);
  const endpoint: Endpoint = Object.freeze({ ...wrongMethod, permit });
  return { endpoint, place: places[0] ?? endpoint };
}

/**
 * On `/_utils` and on most other paths of the server, CouchDB checks for a server admin before it checks the
 * method.
 */
function explainedTo(places: readonly Endpoint[]): ExplainedTo {
  const [place] = places;
  if (place === undefined || place.id === 'utils') return 'owner';
  if (place.scope === 'server' || place.scope === 'cloudant') {
    if (CHECKED_FIRST.has(place.id)) return 'holders';
    return place.permit.kind === 'public' && place.privilege === 'none' ? 'signed-in' : 'owner';
  }
  return 'holders';
}

function serves(endpoint: Endpoint, method: Method): boolean {
  return endpoint.methods === '*' || endpoint.methods.includes(method);
}

function matchesOf(entries: readonly Entry[]): Matches {
  const endpoints = [...new Set(entries.map(({ endpoint }) => endpoint))];
  const [entry] = entries;
  const [first] = endpoints;
  if (entry === undefined || first === undefined) throw new Error('a path has no endpoint');
  if (endpoints.length === 1) return { first, alternatives: [], by: first.choice?.by, place: entry.place };
  const by = first.choice?.by;
  if (by === undefined || endpoints.some((other) => other.choice?.by !== by)) {
    throw new Error(`endpoints ${endpoints.map(({ id }) => id).join(', ')} share a path and a method`);
  }
  return { first, alternatives: endpoints, by, place: entry.place };
}
