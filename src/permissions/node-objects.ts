// Reads the security object of one database from every node: each answers from its own shard copy.
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { getSecurity } from './couch-security.ts';
import { type StoredSecurity, versionOf } from './security-document.ts';

/** What one node has. `undefined` = no such database there; `away` = the node does not answer. */
export interface NodeObject {
  readonly node: string;
  readonly object: StoredSecurity | undefined | 'away';
}

/** Asks every node for the object. A node that does not answer is part of the result. */
export function objectsOfNodes(
  couch: Pick<Couch, 'ask'>,
  nodeUrls: readonly string[],
  database: string,
): Promise<readonly NodeObject[]> {
  return Promise.all(
    nodeUrls.map(async (node) => {
      const object = await getSecurity(couch, database, undefined, node).catch((error: unknown) => {
        if (error instanceof Unavailable) return 'away' as const;
        throw error;
      });
      return { node, object };
    }),
  );
}

/**
 * The newest of the object that was read and of those on the nodes. A node that was away while the object
 * changed still has an older one, and the default if it was away since the creation.
 */
export async function newestObject(
  couch: Pick<Couch, 'ask'>,
  nodeUrls: readonly string[],
  database: string,
  read: StoredSecurity,
): Promise<StoredSecurity> {
  const found = await objectsOfNodes(couch, nodeUrls, database);
  return found.reduce<StoredSecurity>(
    (newest, { object }) =>
      object !== undefined && object !== 'away' && versionOf(object) > versionOf(newest) ? object : newest,
    read,
  );
}
