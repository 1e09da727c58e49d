// Changes the roles of one name on all databases of a prefix: makes, changes or removes its prefix grant.
import { createHash } from 'node:crypto';
import { randomPause } from '../permissions/random-pause.ts';
import { isRole, type Role } from '../permissions/role.ts';
import { type Admin, fieldsOf } from '../setup/admin.ts';
import { accepted } from './owner-client.ts';

const PATH = '/_api/v2/prefix_grants';
const MAX_ATTEMPTS = 30;

interface Held {
  readonly id: string;
  readonly revision: string;
  readonly roles: readonly Role[];
  readonly create: boolean;
  readonly delete: boolean;
  readonly maxDatabases: unknown;
}

export interface PrefixRoles {
  readonly roles: readonly Role[];
  readonly warnings: readonly string[];
}

/**
 * Changes the prefix grants of the name on exactly this pattern: `change` gets the roles of each. Without
 * one, it makes one, if `change` gives roles. A grant that then gives nothing is removed. `isWhole` = one
 * that permits to create or delete databases is removed, too. Begins again if somebody else has changed the
 * grant.
 */
export async function changePrefixRoles(
  couchgate: Admin,
  { name, pattern }: { readonly name: string; readonly pattern: string },
  change: (held: readonly Role[]) => readonly Role[],
  isWhole: boolean,
): Promise<PrefixRoles> {
  for (let attempt = 0; ; attempt += 1) {
    const held = await readHeld(couchgate, name, pattern);
    const changes = held.length > 0 ? held : [undefined];
    const warnings: string[] = [];
    const roles = new Set<Role>();
    let hasMoved = false;
    for (const grant of changes) {
      const after = change(grant?.roles ?? []);
      const answer = await write(couchgate, { name, pattern }, grant, after, isWhole);
      hasMoved ||= answer === 'moved';
      if (answer === 'moved') break;
      for (const role of after) roles.add(role);
      warnings.push(...answer);
    }
    if (!hasMoved) return { roles: [...roles], warnings };
    if (attempt >= MAX_ATTEMPTS) throw new Error('others change this prefix grant all the time');
    await randomPause(attempt);
  }
}

/** The prefix grants of the name on this pattern, those that are not in force too. */
async function readHeld(couchgate: Admin, name: string, pattern: string): Promise<readonly Held[]> {
  const answer = accepted(await couchgate.ask('GET', PATH), 'listing the prefix grants');
  const list = Array.isArray(answer['prefix_grants']) ? (answer['prefix_grants'] as unknown[]) : [];
  return list.flatMap((item) => {
    const {
      id,
      revision,
      principal,
      databases,
      roles,
      create,
      delete: remove,
      max_databases,
    } = fieldsOf(item);
    if (principal !== name || databases !== pattern) return [];
    return {
      id: String(id),
      revision: String(revision),
      maxDatabases: max_databases,
      create: create === true,
      delete: remove === true,
      roles: Array.isArray(roles) ? roles.filter(isRole) : [],
    };
  });
}

/** Resolves with the warnings of the server. */
async function write(
  couchgate: Admin,
  { name, pattern }: { readonly name: string; readonly pattern: string },
  held: Held | undefined,
  after: readonly Role[],
  isWhole: boolean,
): Promise<readonly string[] | 'moved'> {
  const isSame = after.length === held?.roles.length && after.every((role) => held.roles.includes(role));
  const isEmpty = after.length === 0 && (isWhole || (held?.create !== true && held?.delete !== true));
  if (isEmpty ? held === undefined : isSame) return [];
  const path = `${PATH}/${held?.id ?? idFor(name, pattern)}`;
  const condition: Record<string, string> =
    held === undefined ? { 'If-None-Match': '*' } : { 'If-Match': `"${held.revision}"` };
  const body = {
    principal: name,
    databases: pattern,
    roles: after,
    ...(held === undefined ? {} : { create: held.create, delete: held.delete }),
    ...(held?.create === true ? { max_databases: held.maxDatabases } : {}),
    ...(after.includes('_admin') || after.includes('_security') ? { dangerous: true } : {}),
  };
  const answer = isEmpty
    ? await couchgate.ask('DELETE', path, undefined, condition)
    : await couchgate.ask('PUT', path, body, condition);
  if (answer.status === 412 || (isEmpty && answer.status === 404)) return 'moved';
  const { warnings } = accepted(answer, `changing the prefix grant on ${pattern}`);
  return Array.isArray(warnings) ? warnings.map(String) : [];
}

/** An id that is the same for every command, so that two of them do not make two grants. */
function idFor(name: string, pattern: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([name, pattern]))
    .digest('hex');
  const readable = pattern.replace(/[^a-z0-9]+/g, '-').slice(0, 40);
  return `${readable}${readable.endsWith('-') ? '' : '-'}${digest.slice(0, 16)}`;
}
