// Reads and writes permissions of a running Couchgate for the commands export, plan and apply.
import { isOpenToGrants } from '../../catalogue/database-name.ts';
import { type SecurityRequest, parseSecurityPut } from '../../permissions/security-request.ts';
import { isRole, type RoleSet, roleSet } from '../../permissions/role.ts';
import { type Admin, fieldsOf } from '../../setup/admin.ts';
import { keyPages } from '../key-pages.ts';
import { accepted, RefusedByCouchgate } from '../owner-client.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The permissions of one database, and the name of that state. */
export interface RemotePermissions {
  readonly database: string;
  /** `<generation>.<revision>` */
  readonly revision: string;
  /** The security object as clients see it. */
  readonly security: Fields;
  readonly grants: ReadonlyMap<string, RoleSet>;
  readonly couchdbAuthOnly: boolean;
}

/** The API keys that are valid now. */
export interface RemoteKeys {
  readonly names: ReadonlySet<string>;
  /** The keys with a label. */
  readonly byLabel: ReadonlyMap<string, readonly string[]>;
  readonly labels: ReadonlyMap<string, string>;
}

/** Requests that run at once. */
const AT_ONCE = 8;

function pathOf(database: string): string {
  return `/_api/v2/db/${encodeURIComponent(database)}/_security`;
}

/** The databases that can have grants, in order. */
export async function readDatabases(couchgate: Admin): Promise<readonly string[]> {
  const { status, body, headers } = await couchgate.ask('GET', '/_all_dbs');
  if (status !== 200 || !Array.isArray(body))
    throw new RefusedByCouchgate('listing the databases', { status, body, headers });
  return (body as readonly unknown[]).filter((name) => typeof name === 'string').filter(isOpenToGrants);
}

/** Reads the permissions; `undefined` = no such database. */
export async function readPermissions(
  couchgate: Admin,
  database: string,
): Promise<RemotePermissions | undefined> {
  const answer = await couchgate.ask('GET', pathOf(database));
  if (answer.status === 404) return undefined;
  const security = accepted(answer, `reading the permissions of ${database}`);
  const revision = answer.headers['x-couchgate-revision'];
  if (typeof revision !== 'string')
    throw new Error('the answer has no X-Couchgate-Revision; is it Couchgate?');
  const grants = new Map<string, RoleSet>();
  for (const [name, roles] of Object.entries(fieldsOf(security['cloudant'])))
    if (Array.isArray(roles) && roles.length > 0) grants.set(name, roleSet(roles.filter(isRole)));
  return { database, revision, security, grants, couchdbAuthOnly: security['couchdb_auth_only'] === true };
}

/** Reads the permissions of many databases in their order. */
export async function* readMany(
  couchgate: Admin,
  databases: readonly string[],
): AsyncGenerator<readonly [database: string, found: RemotePermissions | undefined]> {
  for (let at = 0; at < databases.length; at += AT_ONCE) {
    const part = databases.slice(at, at + AT_ONCE);
    const found = await Promise.all(part.map((database) => readPermissions(couchgate, database)));
    for (const [index, database] of part.entries()) yield [database, found[index]];
  }
}

/** Reads the keys that are neither revoked nor expired. */
export async function readKeys(couchgate: Admin): Promise<RemoteKeys> {
  const names = new Set<string>();
  const byLabel = new Map<string, string[]>();
  const labels = new Map<string, string>();
  for await (const page of keyPages(couchgate))
    for (const { key, label, expires_at: expiresAt } of page) {
      if (typeof key !== 'string') continue;
      names.add(key);
      if (typeof expiresAt === 'string' && Date.parse(expiresAt) <= Date.now()) continue;
      if (typeof label !== 'string' || label === '') continue;
      labels.set(key, label);
      const others = byLabel.get(label);
      if (others === undefined) byLabel.set(label, [key]);
      else others.push(key);
    }
  return { names, byLabel, labels };
}

/** The names that no key, user or server admin has. */
export async function unknownAmong(couchgate: Admin, names: readonly string[]): Promise<readonly string[]> {
  const unknown: string[] = [];
  for (const name of names) {
    const query = new URLSearchParams({ principal: name, limit: '1' });
    const { kind } = accepted(
      await couchgate.ask('GET', `/_api/v2/access?${query.toString()}`),
      'reading a name',
    );
    if (kind === 'unknown' || kind === 'revoked key') unknown.push(name);
  }
  return unknown;
}

/** A change that is not possible any more: somebody else has changed the permissions. */
export class Moved extends Error {}

/** Replaces the object if its state is still `revision`. Throws Moved, and RefusedByCouchgate. */
export async function writePermissions(
  couchgate: Admin,
  { database, revision }: Pick<RemotePermissions, 'database' | 'revision'>,
  security: Fields,
  reason: string,
): Promise<readonly string[]> {
  const answer = await couchgate.ask('PUT', pathOf(database), security, {
    'If-Match': `"${revision}"`,
    // Header bytes are UTF-8; Node takes them as Latin-1.
    'X-Couchgate-Reason': Buffer.from(reason).toString('latin1'),
  });
  if (answer.status === 412 || answer.status === 404) throw new Moved(database);
  const { warnings } = accepted(answer, `changing the permissions of ${database}`);
  return Array.isArray(warnings) ? warnings.map(String) : [];
}

/** What has happened to a database since a revision: one sentence for each change. */
export async function whatMoved(
  couchgate: Admin,
  database: string,
  since: string,
): Promise<readonly string[]> {
  const now = await readPermissions(couchgate, database);
  if (now === undefined) return [`${database}: the database was deleted`];
  const [generation = '', number = ''] = since.split('.');
  const [present = '', latest = ''] = now.revision.split('.');
  if (generation !== present && generation !== '0') return [`${database}: the database was made again`];
  const path = `${pathOf(database)}/history?limit=200`;
  const { history } = accepted(await couchgate.ask('GET', path), 'reading the history');
  const later = (Array.isArray(history) ? (history as readonly Fields[]) : []).filter(
    (entry) => Number(entry['revision']) > Number(number) && entry['generation'] === present,
  );
  if (later.length === 0) return [`${database}: revision ${number} is now ${latest}`];
  return later.reverse().map((entry) => {
    const changes = Array.isArray(entry['changes']) ? (entry['changes'] as readonly Fields[]) : [];
    const by = entry['by'] === '' ? 'Couchgate' : String(entry['by']);
    return `${database}: revision ${String(entry['revision'])} by ${by} at ${String(entry['at'])}: ${changes.map(wordsOf).join('; ')}`;
  });
}

function wordsOf({ name, before, after }: Fields): string {
  return `${String(name)} ${listOf(before)} -> ${listOf(after)}`;
}

function listOf(roles: unknown): string {
  return Array.isArray(roles) && roles.length > 0 ? roles.join(',') : '-';
}

/** The client's request with these fields, checked as the server checks it. */
export function requestOf(security: Fields): SecurityRequest {
  return parseSecurityPut(Object.fromEntries(Object.entries(security).filter(([field]) => field !== '_id')));
}
