// Renders the catalogue as Markdown: docs/endpoints.md.
import { ENDPOINTS } from './catalogue.ts';
import { type Endpoint, type Permit, type Scope } from './endpoint.ts';
import { monitorPrivilege } from './monitor.ts';

const SECTIONS: Readonly<Record<Scope, string>> = {
  server: 'The server and the system databases',
  db: 'A database',
  partition: 'A partition',
  design: 'Design documents, their functions and indexes',
  local: 'Local documents',
  doc: 'Documents',
  attachment: 'Attachments',
  cloudant: "Cloudant's API",
};

const INTRODUCTION = `# Endpoints

\`npm run docs\` generates this page from the catalogue in \`src/catalogue/\`. Couchgate decides by this
catalogue: it refuses every request that matches no endpoint.

- **operation**: the name of the endpoint in the access log. It links to the page that describes it.
- **methods**: *every other* = all methods that no other endpoint with the same path has.
- **path**: \`{name}\` = one segment; \`{name*}\` = one or more segments up to the end; \`[…]\` = optional;
  \`(a|b)\` = one of these. CouchDB reads some spellings of a path alike: escapes, repeated slashes,
  \`_design%2Fname\`. All of them match the same endpoint.
- **who may**: the roles that permit the operation. The \`cloudant\` map of the database's \`_security\`
  grants roles to the name of the caller; the name is \`nobody\` for callers without credentials. Alternatives
  are separated by commas; \`a + b\` means that both roles are required. \`_admin\` on a database permits
  every endpoint that names a role. \`users-own-read\`, \`users-own-write\` and \`users-sign-up\` are closed
  without their settings: see [Users](users.md). The *owner* is a server admin of CouchDB and may call every endpoint that
  is not closed. \`_monitor\` is a role on the whole server: see [Monitoring](monitoring.md).
- **privilege**: the right with which Couchgate sends the request to CouchDB. \`none\` = without a name;
  \`member\` and \`dbadmin\` = for this one database; \`server_admin\` = server admin. *Couchgate* = Couchgate
  answers itself. *(checked)* = Couchgate checks the request, and may refuse it, before it forwards it.

Rules for all endpoints:

- A *closed* endpoint is refused for everybody. 403 in parentheses = closed on purpose. Any other status
  stands for a mistake: a method that the path does not have, a path or a name that CouchDB does not know.
  The owner and callers with any role on the database get CouchDB's status, words and \`Allow\`. Other
  signed-in callers get 403, callers without credentials 401, as for what is closed.
- If the caller lacks a role, the status is 401 without credentials and 403 with them. The reason is for
  example \`_reader access is required for this request\` or \`one of _design, _reader is required for this
  request\`.
- If a database does not exist, signed-in callers get 404 and callers without credentials get 401.
- The owner's requests carry \`server_admin\` if functions of the database receive the identity of the caller:
  writes, feeds, shows and lists. A validation function that permits only admins therefore permits the owner.
- If a database has \`couchdb_auth_only\`, CouchDB decides about operations with the privilege \`member\` or
  \`dbadmin\`: Couchgate forwards them with the caller's own name and roles. Couchgate still decides about
  \`_security\` and about operations with the privilege \`server_admin\`.
`;

/**
 * Returns the content of docs/endpoints.md. `npm run docs` writes it; `npm run docs:check` compares it with
 * the file.
 */
export function endpointsDocument(): string {
  const scopes = Object.keys(SECTIONS) as Scope[];
  return [INTRODUCTION, ...scopes.map(section)].join('\n');
}

function section(scope: Scope): string {
  const lines = ENDPOINTS.filter((endpoint) => endpoint.scope === scope).map(lineOf);
  return [
    `## ${SECTIONS[scope]}\n`,
    '| operation | methods | path | who may | privilege |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
    '',
  ].join('\n');
}

function lineOf(endpoint: Endpoint): string {
  const methods = endpoint.methods === '*' ? 'every other' : endpoint.methods.join(' ');
  const path = `\`${endpoint.path.replaceAll('|', '\\|')}\``;
  const { id, manual, permit } = endpoint;
  const monitors = monitorPrivilege(endpoint) === undefined ? '' : ', `_monitor`';
  const who = permitText(permit) + monitors;
  const cells = [`[${id}](${manual})`, methods, path, who, privilegeText(endpoint)];
  return `| ${cells.join(' | ')} |`;
}

function permitText(permit: Permit): string {
  if (permit.kind === 'public') return 'everybody';
  if (permit.kind === 'authenticated') return 'everybody who is signed in';
  if (permit.kind === 'blocked') return `*closed* (${String(permit.status)})`;
  if (permit.roles.length === 0) return 'owner';
  return permit.roles.map((set) => set.map((role) => `\`${role}\``).join(' + ')).join(', ');
}

function privilegeText({ permit, servedBy, privilege }: Endpoint): string {
  if (permit.kind === 'blocked') return '';
  if (servedBy === 'couchgate') return '*Couchgate*';
  return servedBy === 'guard' ? `${privilege} *(checked)*` : privilege;
}
