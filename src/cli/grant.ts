// `couchgate grant` and `couchgate revoke-grant`: change the roles of one name on one database, or on all
// databases of a prefix, over the HTTP API.
import { randomPause } from '../permissions/random-pause.ts';
import { isRole, ROLES, type Role } from '../permissions/role.ts';
import { rolesByName } from '../permissions/security-document.ts';
import { type Admin, fieldsOf } from '../setup/admin.ts';
import { UsageError } from '../setup/arguments.ts';
import { type Command, type CommandIo } from './command.ts';
import { changePrefixRoles } from './grant-by-prefix.ts';
import {
  accepted,
  type AskPassword,
  exitCodeOf,
  openOwner,
  OWNER_OPTIONS,
  OWNER_OPTIONS_USAGE,
} from './owner-client.ts';
import { parseOptions } from './parse-options.ts';
import { rolesIn } from './roles.ts';
import { printable } from './terminal.ts';

const ROLES_USAGE = `ROLES is a list separated by commas, such as _reader,_writer. KEY is an API key, a user of CouchDB, or nobody for
everybody without a password. Other roles and other names on the database stay as they are. DATABASE may be a prefix
with * at its end, such as 'userdb-*': a prefix grant then covers all databases whose names begin so, also later ones.`;

export const GRANT_USAGE = `Usage: couchgate grant KEY ROLES DATABASE [options]
Adds roles of a name on a database. ${ROLES_USAGE}
  --allow-public         required if KEY is nobody: everybody then has the roles
  --allow-admin          required for _admin and _security on a prefix
${OWNER_OPTIONS_USAGE}`;

export const REVOKE_GRANT_USAGE = `Usage: couchgate revoke-grant KEY ROLES DATABASE [options]
Removes roles of a name on a database; the word all removes every role. ${ROLES_USAGE}
${OWNER_OPTIONS_USAGE}`;

const OPTIONS = {
  ...OWNER_OPTIONS,
  'allow-public': { type: 'boolean', default: false },
  'allow-admin': { type: 'boolean', default: false },
} as const;

/** They give rights over permissions. */
const DANGEROUS: readonly Role[] = ['_admin', '_security'];
/** Other writers may change the document between our read and our write. */
const MAX_ATTEMPTS = 30;

/** Creates the command that adds roles. */
export function grantCommand(askPassword: AskPassword): Command {
  return changeCommand(GRANT_USAGE, askPassword, (held, roles) =>
    ROLES.filter((role) => held.includes(role) || roles.includes(role)),
  );
}

/** Creates the command that removes roles. */
export function revokeGrantCommand(askPassword: AskPassword): Command {
  return changeCommand(REVOKE_GRANT_USAGE, askPassword, (held, roles) =>
    held.filter((role) => !roles.includes(role)),
  );
}

type Change = (held: readonly Role[], roles: readonly Role[]) => readonly Role[];

function changeCommand(usage: string, askPassword: AskPassword, change: Change): Command {
  const isGrant = usage === GRANT_USAGE;
  return (args, io) =>
    exitCodeOf(
      async () => {
        const { values, positionals } = parse(args, isGrant);
        const [name, list, database, ...rest] = positionals;
        if (name === undefined || list === undefined || database === undefined || rest.length > 0)
          throw new UsageError('pass a key, roles and a database');
        const roles = !isGrant && list === 'all' ? ROLES : rolesIn(list);
        if (isGrant && name === 'nobody' && !values['allow-public'])
          throw new UsageError('nobody is everybody without a password; add --allow-public if you mean that');
        const isPrefix = database.includes('*');
        if (isGrant && isPrefix && !values['allow-admin'] && roles.some((role) => DANGEROUS.includes(role)))
          throw new UsageError('_admin and _security on a prefix need --allow-admin');
        const couchgate = await openOwner(values, io, askPassword);
        const changed = (held: readonly Role[]): readonly Role[] => change(held, roles);
        const after = isPrefix
          ? await changeOnPrefix(couchgate, { name, pattern: database }, changed, list === 'all', io)
          : await changeRoles(couchgate, database, name, changed, io);
        const shown = after.length === 0 ? 'no roles' : after.join(',');
        io.stdout.write(
          values.json
            ? `${JSON.stringify({ ok: true, database, name, roles: after })}\n`
            : `${printable(name)} has ${shown} on ${printable(database)}\n`,
        );
      },
      usage,
      io,
    );
}

function parse(args: readonly string[], isGrant: boolean) {
  const { 'allow-public': allowPublic, 'allow-admin': allowAdmin, ...others } = OPTIONS;
  const flags = { 'allow-public': allowPublic, 'allow-admin': allowAdmin };
  const { values, positionals } = parseOptions(args, isGrant ? { ...others, ...flags } : others);
  return { values: { 'allow-public': false, 'allow-admin': false, ...values }, positionals };
}

async function changeOnPrefix(
  couchgate: Admin,
  place: { readonly name: string; readonly pattern: string },
  change: (held: readonly Role[]) => readonly Role[],
  isWhole: boolean,
  { stderr }: CommandIo,
): Promise<readonly Role[]> {
  const { roles, warnings } = await changePrefixRoles(couchgate, place, change, isWhole);
  for (const warning of warnings) stderr.write(`Warning: ${printable(warning)}\n`);
  return roles;
}

/**
 * Reads the security object, changes the roles of one name and writes it under the condition that nobody else
 * has changed it (If-Match). After 412 it begins again. Resolves with the roles that the name has then.
 */
async function changeRoles(
  couchgate: Admin,
  database: string,
  name: string,
  change: (held: readonly Role[]) => readonly Role[],
  { stderr }: CommandIo,
): Promise<readonly Role[]> {
  const path = `/_api/v2/db/${encodeURIComponent(database)}/_security`;
  for (let attempt = 0; ; attempt += 1) {
    const read = await couchgate.ask('GET', path);
    const security = accepted(read, `reading the permissions of ${database}`);
    if (security['couchdb_auth_only'] === true)
      throw new Error(`CouchDB decides about ${database} (couchdb_auth_only): roles have no effect there`);
    const cloudant = fieldsOf(security['cloudant']);
    const stored = Object.hasOwn(cloudant, name) ? cloudant[name] : undefined;
    const held = Array.isArray(stored) ? stored.filter(isRole) : [];
    const after = change(held);
    if (after.length === held.length && after.every((role) => held.includes(role))) return after;
    // Roles that nobody can put, written past Couchgate, grant nothing and must not stop the change.
    const others = rolesByName(cloudant).filter(([other]) => other !== name);
    const next = Object.fromEntries(after.length === 0 ? others : [...others, [name, after]]);
    const etag = read.headers.etag;
    const written = await couchgate.ask(
      'PUT',
      path,
      { ...security, cloudant: next },
      etag === undefined ? {} : { 'If-Match': etag },
    );
    if (written.status === 412 && attempt < MAX_ATTEMPTS) {
      await randomPause(attempt);
      continue;
    }
    const { warnings } = accepted(written, `changing the permissions of ${database}`);
    if (Array.isArray(warnings))
      for (const warning of warnings) stderr.write(`Warning: ${printable(String(warning))}\n`);
    return after;
  }
}
