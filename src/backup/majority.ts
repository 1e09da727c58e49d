// Says whether a majority of the copies of a database can be read. A read of several copies succeeds with
// those that answer, so its success does not prove it.
import { type CouchTransfer } from '../couch/transfer.ts';
import { parseJson } from '../json/parse.ts';
import { fieldsIn } from './snapshot-shape.ts';

/**
 * True if every range has more than half of its copies on nodes that are connected, as far as the node that
 * answers knows. False also if CouchDB does not say so.
 */
export async function hasMajority(couch: CouchTransfer, databasePath: string): Promise<boolean> {
  const [membership, shards] = await Promise.all([
    couch.ask({ method: 'GET', path: '/_membership' }),
    couch.ask({ method: 'GET', path: `${databasePath}/_shards` }),
  ]);
  // PouchDB has no copies.
  if (membership.status === 404 && shards.status === 404) return true;
  if (membership.status !== 200 || shards.status !== 200) return false;
  const { all_nodes: connected } = fieldsIn(parseJson(membership.bytes));
  const ranges = Object.values(fieldsIn(fieldsIn(parseJson(shards.bytes))['shards']));
  return Array.isArray(connected) && ranges.length > 0 && ranges.every((copies) => isMost(copies, connected));
}

function isMost(copies: unknown, connected: readonly unknown[]): boolean {
  return (
    Array.isArray(copies) && 2 * copies.filter((node) => connected.includes(node)).length > copies.length
  );
}
