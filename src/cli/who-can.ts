// `couchgate who-can` and `couchgate what-can`: who has a role on a database, and what a name may use.
import { writeJson } from '../json/exact-numbers.ts';
import { type Admin } from '../setup/admin.ts';
import { UsageError } from '../setup/arguments.ts';
import { type Command } from './command.ts';
import {
  accepted,
  answerCodeOf,
  type AskPassword,
  openOwner,
  OWNER_OPTION_LINES,
  OWNER_OPTIONS,
} from './owner-client.ts';
import { parseOptions } from './parse-options.ts';
import { rolesIn } from './roles.ts';
import { printable } from './terminal.ts';

export const WHO_CAN_USAGE = `Usage: couchgate who-can ROLE DATABASE [options]
Lists the names that have a role on a database, with those that have _admin, and where their roles come from.
${OWNER_OPTION_LINES}
Exit codes: 0 = somebody besides the owner has the role, 1 = nobody has, 2 = invalid usage, 3 = unknown: CouchDB decides
(couchdb_auth_only), or there is no answer.
`;

export const WHAT_CAN_USAGE = `Usage: couchgate what-can KEY [options]
Lists the databases on which an API key, a user, or nobody has a role, and where the roles come from. A key or user
may ask about itself: pass its name with --user too.
${OWNER_OPTION_LINES}
Exit codes: 0 = it has a role somewhere, 1 = it has none, 2 = invalid usage, 3 = unknown: there is no answer.
`;

type Fields = Readonly<Record<string, unknown>>;

/** Creates the command; `askPassword` = undefined without a terminal. */
export function whoCanCommand(askPassword: AskPassword): Command {
  return (args, io) =>
    answerCodeOf(
      async () => {
        const { values, positionals } = parseOptions(args, OWNER_OPTIONS);
        const [roleText, database, ...rest] = positionals;
        if (roleText === undefined || database === undefined || rest.length > 0)
          throw new UsageError('pass a role and a database');
        const [role, second] = rolesIn(roleText);
        if (role === undefined || second !== undefined) throw new UsageError('pass one role');
        const couchgate = await openOwner(values, io, askPassword);
        const answer = await wholeAccess(couchgate, { database }, 'names');
        const holders = answer.rows.filter(({ roles, source }) => {
          const held = Array.isArray(roles) ? (roles as readonly unknown[]) : [];
          return source === 'owner' || held.includes(role) || held.includes('_admin');
        });
        const isCouchdb = answer.fields['couchdb_auth_only'] === true;
        if (values.json) io.stdout.write(`${writeJson({ role, ...answer.fields, names: holders })}\n`);
        else {
          io.stdout.write(holders.map((row) => lineOf(row, 'name')).join(''));
          if (isCouchdb)
            io.stdout.write(`CouchDB decides: ${printable(writeJson(answer.fields['couchdb']))}\n`);
        }
        if (isCouchdb) return 3;
        return holders.some(({ source }) => source !== 'owner') ? 0 : 1;
      },
      WHO_CAN_USAGE,
      io,
    );
}

/** Creates the command; `askPassword` = undefined without a terminal. */
export function whatCanCommand(askPassword: AskPassword): Command {
  return (args, io) =>
    answerCodeOf(
      async () => {
        const { values, positionals } = parseOptions(args, OWNER_OPTIONS);
        const [principal, ...rest] = positionals;
        if (principal === undefined || rest.length > 0) throw new UsageError('pass one key');
        const couchgate = await openOwner(values, io, askPassword);
        const { fields, rows } = await wholeAccess(couchgate, { principal }, 'databases');
        if (values.json) io.stdout.write(`${writeJson({ ...fields, databases: rows })}\n`);
        else {
          io.stdout.write(`${printable(principal)}: ${describe(fields)}\n`);
          io.stdout.write(rows.map((row) => lineOf(row, 'database')).join(''));
        }
        return rows.length > 0 || fields['all_databases'] === true ? 0 : 1;
      },
      WHAT_CAN_USAGE,
      io,
    );
}

/** Reads all pages of `GET /_api/v2/access`. `fields` are those of the first page without its rows. */
async function wholeAccess(
  couchgate: Admin,
  question: Readonly<Record<string, string>>,
  list: 'names' | 'databases',
): Promise<{ readonly fields: Fields; readonly rows: readonly Fields[] }> {
  const rows: Fields[] = [];
  let first: Fields | undefined;
  for (let after: unknown; ;) {
    const query = new URLSearchParams({ ...question, ...(typeof after === 'string' ? { after } : {}) });
    const answer = await couchgate.ask('GET', `/_api/v2/access?${query.toString()}`);
    const { [list]: page, next, ...fields } = accepted(answer, 'reading who has access');
    first ??= fields;
    for (const row of Array.isArray(page) ? (page as readonly Fields[]) : []) rows.push(row);
    if (next === undefined) return { fields: first, rows };
    after = next;
  }
}

function describe({ kind, label, last_used: lastUsed, all_databases: isOwner }: Fields): string {
  const used = typeof lastUsed === 'string' ? `last used ${lastUsed}` : undefined;
  const all = isOwner === true ? 'may use every database' : undefined;
  const words = [kind, label, used, all].filter((word) => typeof word === 'string' && word !== '');
  return printable(words.join(', '));
}

/** `fruit  _reader,_writer  (_security)` */
function lineOf(row: Fields, field: 'name' | 'database'): string {
  const roles = Array.isArray(row['roles']) ? row['roles'].join(',') : '';
  const label = typeof row['label'] === 'string' ? ` "${row['label']}"` : '';
  const kind = typeof row['kind'] === 'string' ? `, ${row['kind']}${label}` : '';
  return `${printable(`${String(row[field])}  ${roles === '' ? '-' : roles}  (${String(row['source'])}${kind})`)}\n`;
}
