// Says which copies a cluster has of the ranges of a database, and which of them can be read. A read of
// several copies succeeds with those that answer, so its success does not prove a majority.
import { type CouchTransfer } from '../couch/transfer.ts';
import { parseJson } from '../json/parse.ts';
import { fieldsIn } from './snapshot-shape.ts';

/** The copies of one range, each as `node first-last`. */
export interface RangeCopies {
  readonly copies: readonly string[];
  /** Those on nodes that are connected, as far as the node that answers knows. */
  readonly connected: readonly string[];
}

/** The copies of every range; none for PouchDB, which has no copies. Undefined if CouchDB does not say so. */
export async function copiesOf(
  couch: CouchTransfer,
  databasePath: string,
): Promise<readonly RangeCopies[] | undefined> {
  const [membership, shards] = await Promise.all([
    couch.ask({ method: 'GET', path: '/_membership' }),
    couch.ask({ method: 'GET', path: `${databasePath}/_shards` }),
  ]);
  if (membership.status === 404 && shards.status === 404) return [];
  if (membership.status !== 200 || shards.status !== 200) return undefined;
  const { all_nodes: connected } = fieldsIn(parseJson(membership.bytes));
  const ranges = Object.entries(fieldsIn(fieldsIn(parseJson(shards.bytes))['shards']));
  if (!Array.isArray(connected) || ranges.length === 0) return undefined;
  return ranges.map(([range, nodes]) => {
    const bounds = range
      .split('-')
      .map((bound) => parseInt(bound, 16))
      .join('-');
    const names = Array.isArray(nodes) ? nodes.map(String) : [];
    const copyOn = (node: string): string => `${node} ${bounds}`;
    return {
      copies: names.map(copyOn),
      connected: names.filter((node) => connected.includes(node)).map(copyOn),
    };
  });
}

/** True if every range has more than half of its copies on connected nodes. */
export async function hasMajority(couch: CouchTransfer, databasePath: string): Promise<boolean> {
  const ranges = await copiesOf(couch, databasePath);
  return ranges?.every(({ copies, connected }) => 2 * connected.length > copies.length) ?? false;
}
