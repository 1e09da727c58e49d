// Lists the requests of the comparison of refusals: every path of the catalogue and paths beyond it, by every method.
import { ENDPOINTS } from '../../../src/catalogue/catalogue.ts';
import { tokensOf, type Token } from '../../../src/classify/pattern.ts';
import { OF_ONE_USER } from '../../support/of-one-user.ts';

/** One request. `%db` in the path stands for the name of a database, `%part` for that of a partitioned one. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  /** Value of the Destination header of a COPY; left out, it has none. */
  readonly destination?: string;
}

export const COMPARED_METHODS = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'COPY',
  'PATCH',
  'PROPFIND',
  'OPTIONS',
] as const;

/** Paths that only Couchgate serves, or that CouchDB must never be asked for by a test. */
const OWN = /^\/(?:_api|api|couchgate)(?:\/|$)/u;

/** Ordinary mistakes, and paths that no pattern of the catalogue spells. */
const BEYOND = [
  '/T1',
  '/T1/doc',
  '/1db',
  '/_bad',
  '/_bad/doc',
  '/_stats',
  '/_config',
  '/_log',
  '/_session/x',
  '/_uuids/x',
  '/_up/x',
  '/_active_tasks/x',
  '/_scheduler',
  '/_scheduler/nope',
  '/_reshard/nope',
  '/_node',
  '/_node/_local/_nope',
  '/favicon.ico/x',
  '/nosuch',
  '/nosuch/doc',
  '/nosuch/_nope',
  '/nosuch/_all_docs',
  '/%db/_nope',
  '/%db/_nope/x',
  '/%db/_lst/x',
  '/%db/_all_docs/x',
  '/%db/_bulk_docs/x',
  '/%db/_bulk_get/x',
  '/%db/_revs_diff/x',
  '/%db/_missing_revs/x',
  '/%db/_ensure_full_commit/x',
  '/%db/_security/x',
  '/%db/_revs_limit/x',
  '/%db/_purge/x',
  '/%db/_purged_infos/x',
  '/%db/_purged_infos_limit/x',
  '/%db/_sync_shards/x',
  '/%db/_shards/doc/x',
  '/%db/_design_docs/x',
  '/%db/_local_docs/x',
  '/%db/_index/x',
  '/%db/_index/x/y',
  '/%db/_index/_design/x/y',
  '/%db/_index/_bulk_delete/x',
  '/%db/_local',
  '/%db/_design',
  '/%db/_partition',
  '/%db/_partition/p/_all_docs',
  '/%part/_partition/_design/d/_view/d',
  '/%part/_partition/_nope/x',
  '/%part/_partition/p/_nope',
  '/%part/_partition/p/doc',
  '/%part/_partition/p/_design/d',
  '/%part/_partition/p/_design/d/_nope',
  '/%part/_partition/p/_changes',
  '/%db/_design/d/_nope',
  '/%db/_design/d/_nope/x',
  '/%db/_design/d/_view',
  '/%db/_design/d/_view/d/x',
  '/%db/_design/d/_view/d/queries/x',
  '/%db/_design/d/_show',
  '/%db/_design/d/_list',
  '/%db/_design/d/_list/d',
  '/%db/_design/d/_update',
  '/%db/_design/d/_info/x',
  '/%db/_design/d/_search',
  '/%db/_design/d/_search_info',
  '/%db/_design/d/_nouveau',
  '/%db/_design/d/_nouveau_info',
  '/%db/_design/none/_view/d',
  '/%db/_design/none/_nope',
  '/%db/_local/x/y',
  '/%db/doc/_att',
  '/%db/_nope%2Fx',
];

const COPIES = ['copied', '_bad', '_bad/x', '_design', '_local', '_security', '_all_docs'];

/** The requests, in an order in which deletions of a whole database come last. */
export function comparedRequests(): readonly Asked[] {
  const spelled = ENDPOINTS.filter(({ id }) => !OF_ONE_USER.has(id));
  const paths = new Set([...spelled.flatMap(({ path }) => tokensOf(path).map(spell)), ...BEYOND]);
  const asked: Asked[] = [];
  for (const path of paths) {
    if (OWN.test(path)) continue;
    for (const method of COMPARED_METHODS) {
      // It would take the rights away with which the following requests are sent.
      if (method === 'PUT' && path === '/%db/_security') continue;
      if (method === 'COPY') asked.push({ method, path, destination: 'copied' });
      asked.push({ method, path });
    }
  }
  for (const destination of COPIES) asked.push({ method: 'COPY', path: '/%db/doc', destination });
  const isLast = ({ method, path }: Asked): boolean => method === 'DELETE' && path === '/%db';
  return [...asked.filter((each) => !isLast(each)), ...asked.filter(isLast)];
}

export function lineOf({ method, path, destination }: Asked): string {
  return destination === undefined ? `${method} ${path}` : `${method} ${path} -> ${destination}`;
}

/** A path of the pattern, with names that the prepared database knows. */
function spell(tokens: readonly Token[]): string {
  const path = `/${tokens.map(segmentFor).join('/')}`.replace('/_node/d', '/_node/_local');
  return path.startsWith('/%db/_partition/') ? path.replace('%db', '%part') : path;
}

function segmentFor(token: Token, index: number): string {
  if (token.kind === 'literal') return token.text;
  if (index === 0) return token.first === 'underscored' ? '_nope' : '%db';
  const name = token.first === 'underscored' ? '_nope' : token.first === 'plain' ? 'doc' : 'd';
  return token.kind === 'rest' ? `${name}/e` : name;
}
