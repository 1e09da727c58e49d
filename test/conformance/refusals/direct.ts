// Asks a real CouchDB itself, as member, as database admin and as server admin.
import { markersOf } from '../../../src/principal/marker.ts';
import { openAdmin } from '../../../src/setup/admin.ts';
import { type Backend } from '../../support/backend.ts';
import {
  answersTo,
  type Answered,
  type CallerKind,
  type Databases,
  prepareDocuments,
  tokenFor,
} from './answers.ts';
import { type Asked } from './requests.ts';

const PRIVILEGES = { member: 'member', dbadmin: 'dbadmin', owner: 'server_admin' } as const;

/** CouchDB's answers, in databases that are made for it. Both have the markers of the first, so that one token serves both. */
export async function askDirectly(
  backend: Backend,
  kind: CallerKind,
  requests: readonly Asked[],
): Promise<ReadonlyMap<string, Answered>> {
  const [url = ''] = backend.urls;
  const databases: Databases = { plain: `direct-${kind}`, partitioned: `direct-${kind}-part` };
  const admin = openAdmin({ url, credentials: backend.owner });
  const { member, dbadmin } = markersOf(databases.plain);
  const security = { members: { roles: [member] }, admins: { roles: [dbadmin] } };
  await admin.ask('PUT', `/${databases.plain}`);
  await admin.ask('PUT', `/${databases.partitioned}?partitioned=true`);
  for (const name of Object.values(databases))
    await admin.ask('PUT', `/${name as string}/_security`, security);
  await prepareDocuments((path, body) => admin.ask('PUT', path, body), databases);
  const headers = tokenFor(backend, PRIVILEGES[kind], databases.plain);
  return answersTo({ url, headers }, requests, databases);
}
