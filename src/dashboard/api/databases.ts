// Requests about databases as a whole.
import { call } from './http.ts';
import { pathOf } from './paths.ts';

/** Sizes in bytes. */
export interface DatabaseInfo {
  readonly documents: number;
  readonly size: number;
  readonly isPartitioned: boolean;
}

interface InfoRow {
  readonly key: string;
  readonly info?: {
    readonly doc_count?: number;
    readonly sizes?: { readonly active?: number; readonly file?: number; readonly external?: number };
    readonly props?: { readonly partitioned?: boolean };
  };
}

/** CouchDB's default of max_db_number_for_dbs_info_req. */
export const MAX_INFOS = 100;

/** The databases that the person may see, in CouchDB's order. Rejects with 403 if the server lists none. */
export async function listDatabases(signal: AbortSignal): Promise<readonly string[]> {
  return (await call<readonly string[]>({ path: '_all_dbs', signal })).body;
}

/** Reads at most MAX_INFOS infos. A database that is gone, or that the person may not read, has no entry. */
export async function readInfos(
  names: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, DatabaseInfo>> {
  const { body } = await call<readonly InfoRow[]>({
    method: 'POST',
    path: '_dbs_info',
    body: { keys: names },
    signal,
  });
  return new Map(
    body.flatMap(({ key, info }) =>
      info === undefined
        ? []
        : [
            [
              key,
              {
                documents: info.doc_count ?? 0,
                size: info.sizes?.active ?? info.sizes?.file ?? 0,
                isPartitioned: info.props?.partitioned === true,
              },
            ] as const,
          ],
    ),
  );
}

/** Creates a database. `shards` = CouchDB's `q`; undefined = its default. */
export async function createDatabase(
  name: string,
  { shards, isPartitioned }: { readonly shards: number | undefined; readonly isPartitioned: boolean },
): Promise<void> {
  const query = new URLSearchParams();
  if (shards !== undefined) query.set('q', String(shards));
  if (isPartitioned) query.set('partitioned', 'true');
  const text = query.size === 0 ? '' : `?${query.toString()}`;
  await call({ method: 'PUT', path: `${pathOf(name)}${text}` });
}

/** Deletes a database with all its documents and permissions. */
export async function deleteDatabase(name: string): Promise<void> {
  await call({ method: 'DELETE', path: pathOf(name) });
}
