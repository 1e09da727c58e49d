// Writes the present permissions as a permissions file. A plan of that file is empty.
import { rolesOf } from '../../permissions/role.ts';
import { type Admin } from '../../setup/admin.ts';
import { listIn } from './plan.ts';
import { readGrants, type RemoteGrant } from './remote-grants.ts';
import { readDatabases, readKeys, readMany, type RemoteKeys, type RemotePermissions } from './remote.ts';

/**
 * Writes the databases, or all of them. A key is written by its label if no other valid key has the same one.
 * Prefix grants and server grants follow if all databases are written. Memory does not grow with the number
 * of databases. Throws for a database that does not exist.
 */
export async function exportPermissions(
  couchgate: Admin,
  names: readonly string[],
  { write, warn }: { readonly write: (text: string) => void; readonly warn: (text: string) => void },
): Promise<void> {
  const keys = await readKeys(couchgate);
  const databases = names.length > 0 ? [...new Set(names)].sort() : await readDatabases(couchgate);
  write('version: 1\ndatabases:\n');
  for await (const [database, found] of readMany(couchgate, databases)) {
    if (found !== undefined) write(textOf(found, keys));
    else if (names.length > 0) throw new Error(`there is no database ${JSON.stringify(database)}`);
  }
  if (names.length > 0) return;
  const grants = await readGrants(couchgate);
  for (const { kind, id, suspended } of grants)
    if (suspended !== undefined) warn(`${kind} ${id} is not written, it is not in force: ${suspended}`);
  write(grantsText(grants, keys));
}

function grantsText(grants: readonly RemoteGrant[], keys: RemoteKeys): string {
  const lines = ['prefix_grants:', 'server_grants:'].map((section, at) => {
    const kind = at === 0 ? 'prefix grant' : 'server grant';
    const own = grants.filter((grant) => grant.kind === kind && grant.suspended === undefined);
    const entries = own.map((grant) => {
      const { databases, roles, create, delete: remove, max_databases: max } = grant.given;
      const fields = [
        whoIs(grant.principal, keys),
        ...(databases === undefined ? [] : [`databases: ${JSON.stringify(databases)}`]),
        `roles: [${roles.join(', ')}]`,
        ...(create === true ? [`create: true, max_databases: ${max ?? 0}`] : []),
        ...(remove === true ? ['delete: true'] : []),
      ].join(', ');
      return `  ${at === 0 ? `${JSON.stringify(grant.id)}:` : '-'} { ${fields} }\n`;
    });
    return `${section}${own.length > 0 ? '' : at === 0 ? ' {}' : ' []'}\n${entries.join('')}`;
  });
  return lines.join('');
}

function whoIs(name: string, keys: RemoteKeys): string {
  const label = labelOf(name, keys);
  return label === undefined ? `name: ${scalar(name)}` : `key: ${scalar(label)}`;
}

function textOf(
  { database, security, grants, couchdbAuthOnly }: RemotePermissions,
  keys: RemoteKeys,
): string {
  const lines = [`  ${scalar(database)}:`];
  if (couchdbAuthOnly) {
    lines.push('    couchdb_auth_only: true');
    for (const field of ['members', 'admins'] as const) {
      const { names, roles } = listIn(security[field]);
      lines.push(
        `    ${field}: { names: [${names.map(scalar).join(', ')}], roles: [${roles.map(scalar).join(', ')}] }`,
      );
    }
  }
  const granted = [...grants].sort(([a], [b]) => (a < b ? -1 : 1));
  lines.push(granted.length === 0 ? '    grants: []' : '    grants:');
  for (const [name, roles] of granted) {
    const list = rolesOf(roles);
    lines.push(`      - { ${whoIs(name, keys)}, roles: [${list.join(', ')}] }`);
  }
  return `${lines.join('\n')}\n`;
}

/** The label of the key, if it names this key alone. */
function labelOf(name: string, { labels, byLabel }: RemoteKeys): string | undefined {
  const label = labels.get(name);
  return label !== undefined && byLabel.get(label)?.length === 1 ? label : undefined;
}

/** A plain text if no reader of YAML takes it for something else; otherwise JSON, which is YAML. */
function scalar(text: string): string {
  const isPlain = /^[A-Za-z][A-Za-z0-9_$-]*(?:[ /+][A-Za-z0-9_$-]+)*$/.test(text);
  const isWord = /^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return isPlain && !isWord ? text : JSON.stringify(text);
}
