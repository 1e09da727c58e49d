// Who may list databases, by the settings `all_dbs` and `public_all_dbs`.
import { endpoint } from '../catalogue/catalogue.ts';
import { type Endpoint } from '../catalogue/endpoint.ts';
import { type Operation } from '../catalogue/operation.ts';
import { grantedTo } from '../catalogue/parse.ts';
import { type Settings } from '../config/settings.ts';

/** The settings that decide it. */
export type ListRules = Pick<Settings, 'allDbs' | 'publicAllDbs'>;

type OnServer = (method: string, segments: readonly string[]) => Operation;

const LISTS: readonly Endpoint[] = [endpoint('all-dbs'), endpoint('dbs-info'), endpoint('dbs-info-keys')];

/** Replaces the permits of the lists. The catalogue has those of the default settings. */
export function withLists(onServer: OnServer, { allDbs, publicAllDbs }: ListRules): OnServer {
  if (allDbs !== 'owner' && !publicAllDbs) return onServer;
  const permit = allDbs === 'owner' ? grantedTo([]) : ({ kind: 'public' } as const);
  const replaced = new Map(LISTS.map((list) => [list, Object.freeze({ ...list, permit })]));
  return (method, segments) => {
    const operation = onServer(method, segments);
    const list = replaced.get(operation.endpoint);
    return list === undefined ? operation : { ...operation, endpoint: list };
  };
}
