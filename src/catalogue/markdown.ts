// Writes docs/endpoints.md out of the catalogue, as text. Putting it into the file, and checking that it is there, is the script's business.
import { ENDPOINTS } from './catalogue.ts';
import { type Endpoint, type Permit, type Scope } from './endpoint.ts';

const SECTIONS: Readonly<Record<Scope, string>> = {
  server: 'The server, and the databases that CouchDB keeps for itself',
  db: 'A database',
  partition: 'A partition',
  design: 'Design documents and what they serve',
  local: 'Local documents',
  doc: 'Documents',
  attachment: 'Attachments',
  cloudant: "Cloudant's own API",
};

const INTRODUCTION = `# Endpoints

Generated from the catalogue in \`src/endpoints/\` by \`npm run docs\`. It is the list by which Couchgate decides: what is not on it is refused.

- **Who may.** Roles are those that the caller's name holds in the \`cloudant\` map of the database's \`_security\` (\`nobody\` for callers without
  credentials); any of the alternatives will do, \`a + b\` means both. \`_admin\` on a database permits every line that names a role. The *owner* is a
  server admin of CouchDB and may do everything that is not closed.
- **CouchDB is asked as** the least privilege the operation needs: \`none\` = without a name, \`member\` or \`dbadmin\` of that one database, \`server_admin\`.
  *Couchgate* = Couchgate gives the answer itself. *(checked)* = Couchgate checks the request, and may refuse it, before CouchDB gets it. The owner is \`server_admin\` wherever functions of the database are told who asks
  (writes, feeds, shows and lists), so that a validation function which lets only admins write lets the owner.
- **Closed** lines are refused for everybody. The owner gets the status given there, other signed-in callers 403, callers without credentials 401.
- **Refused** otherwise: 401 without credentials, 403 with them, and a reason such as \`_reader access is required for this request\` or
  \`one of _design, _reader is required for this request\`. A database that does not exist is 404, but 401 for callers without credentials.
- **Paths.** \`{name}\` is one segment, \`{name*}\` one or more up to the end, \`[…]\` may be missing, \`(a|b)\` is one of these. Other spellings of a
  path that CouchDB reads alike (escapes, repeated slashes, \`_design%2Fname\`) are the same line.
- A database with \`couchdb_auth_only\` is guarded by CouchDB: lines asked as \`member\` or \`dbadmin\` go there with the caller's own name and roles;
  \`_security\` and lines asked as \`server_admin\` stay with Couchgate.

The first column is the name of the operation in the access log.
`;

/** The whole document. */
export function endpointsDocument(): string {
  const scopes = Object.keys(SECTIONS) as Scope[];
  return [INTRODUCTION, ...scopes.map(section)].join('\n');
}

function section(scope: Scope): string {
  const rows = ENDPOINTS.filter((row) => row.scope === scope).map(line);
  return [
    `## ${SECTIONS[scope]}\n`,
    '| operation | methods | path | who may | CouchDB is asked as |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function line(row: Endpoint): string {
  const methods = row.methods === '*' ? 'every other' : row.methods.join(' ');
  const path = `\`${row.path.replaceAll('|', '\\|')}\``;
  const cells = [`[${row.id}](${row.manual})`, methods, path, permitText(row.permit), askedAs(row)];
  return `| ${cells.join(' | ')} |`;
}

function permitText(permit: Permit): string {
  if (permit.kind === 'public') return 'everybody';
  if (permit.kind === 'authenticated') return 'everybody who is signed in';
  if (permit.kind === 'blocked') return `*closed* (${String(permit.owner)})`;
  if (permit.roles.length === 0) return 'owner';
  return permit.roles.map((set) => set.map((role) => `\`${role}\``).join(' + ')).join(', ');
}

function askedAs({ permit, servedBy, privilege }: Endpoint): string {
  if (permit.kind === 'blocked') return '';
  if (servedBy === 'couchgate') return '*Couchgate*';
  return servedBy === 'guard' ? `${privilege} *(checked)*` : privilege;
}
