// Answers the revocation of a key: where it was granted, and the removal of these grants.
import { type Response } from 'express';
import { type OperationalLog } from '../config/operational-log.ts';
import { type Context, known } from '../context.ts';
import { BadRequest } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { type PermissionIndex } from '../permissions/permission-index.ts';
import { type PermissionStore } from '../permissions/permission-store.ts';
import { type Principal } from '../principal/principal.ts';
import { sendJson } from '../respond.ts';
import { setRoles } from './key-grants.ts';

export interface KeyRevokeDeps {
  readonly keys: Pick<KeyStore, 'revoke'>;
  readonly permissions: Pick<PermissionStore, 'change'> & { readonly index: PermissionIndex };
  readonly log: OperationalLog;
}

/** Each removal costs several requests to CouchDB. The owner repeats the request for more. */
const MAX_REMOVALS = 100;

/**
 * Revokes a key, then removes its grants if `?remove_grants=true`. The answer names the databases with a
 * grant of the key. A revoked key has no access, so a grant that is left has no effect. Returns false if
 * there is no such key.
 */
export async function answerRevocation(
  { keys, permissions, log }: KeyRevokeDeps,
  key: string,
  res: Response,
  context: Context,
): Promise<boolean> {
  const removes = removesGrants(context);
  const { principal } = known(context.identified, 'identified');
  if (!(await keys.revoke(key, principal.name))) return false;
  context.outcome.change = { action: 'revoke', key };
  if (!permissions.index.isLoaded) {
    // The key is revoked; only the list is missing.
    sendJson(res, 200, { ok: true, granted_on: null });
    return true;
  }
  const granted = [...permissions.index.databasesOf(key).keys()].sort();
  if (!removes) {
    sendJson(res, 200, { ok: true, granted_on: granted });
    return true;
  }
  const removed = await removeGrants(permissions, key, granted.slice(0, MAX_REMOVALS), principal, context.id);
  const isRemoved = new Set(removed);
  const left = granted.filter((database) => !isRemoved.has(database));
  if (left.length > 0) log.warn({ key, left: left.length }, 'grants of a revoked API key are left');
  context.outcome.change = { action: 'revoke', key, grantsRemovedOn: removed };
  sendJson(res, 200, { ok: true, granted_on: left, grants_removed_on: removed });
  return true;
}

async function removeGrants(
  permissions: Pick<PermissionStore, 'change'>,
  key: string,
  databases: readonly string[],
  by: Principal,
  requestId: string,
): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const database of databases) {
    const reason = `API key ${key} was revoked`;
    const done = await setRoles(permissions, {
      database,
      name: key,
      roles: undefined,
      by,
      requestId,
      reason,
    }).then(
      () => true,
      () => false,
    );
    if (done) removed.push(database);
  }
  return removed;
}

function removesGrants(context: Context): boolean {
  const [value, second] = new URLSearchParams(known(context.target, 'target').query).getAll('remove_grants');
  if (value === undefined) return false;
  if (second !== undefined || (value !== 'true' && value !== 'false'))
    throw new BadRequest('`remove_grants` must be true or false');
  return value === 'true';
}
