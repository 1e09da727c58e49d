// Restores the grants of a snapshot on a database that was restored, through the plan of
// `couchgate permissions` and a running Couchgate: with its record, its history, and its guards.
import { BackupError } from '../../backup/errors.ts';
import { type Snapshot } from '../../backup/snapshot.ts';
import { permissionsIn, shownForm } from '../../permissions/security-document.ts';
import { wideningOf, type Widening } from '../../permissions/widening.ts';
import { type Admin, reasonOf } from '../../setup/admin.ts';
import { applyPlan } from '../permissions/apply.ts';
import { type FileEntry } from '../permissions/file.ts';
import { flagsOf } from '../permissions/flags.ts';
import { listIn, makePlan } from '../permissions/plan.ts';
import { requestOf } from '../permissions/remote.ts';

export interface SecurityRestore {
  readonly couchgate: Admin;
  readonly allowed: ReadonlySet<Widening>;
  readonly say: (line: string) => void;
}

/**
 * Checks before a restore that the grants of the snapshot may be given. Throws a BackupError that names the
 * missing flag; nothing is changed.
 */
export function requireFlags(
  { security, database: source }: Snapshot,
  database: string,
  allowed: ReadonlySet<Widening>,
): void {
  const none = { database, grants: new Map(), couchdbAuthOnly: false, marked: true };
  const { couchdbAuthOnly } = permissionsIn(security, source);
  const shown = shownForm(security);
  const part = couchdbAuthOnly ? shown : { cloudant: shown['cloudant'] ?? {} };
  let widening: readonly Widening[];
  try {
    widening = [...wideningOf(none, {}, requestOf(part))].filter((way) => !allowed.has(way)).sort();
  } catch (error) {
    throw new BackupError(
      `The grants of the snapshot are not valid: ${reasonOf(error)}. Nothing was changed.`,
    );
  }
  if (widening.length === 0) return;
  throw new BackupError(`Nothing was changed: ${flagsOf(database, widening).join('; ')}.`);
}

/**
 * Gives the grants of the snapshot on `database`, which keeps what it grants already. Resolves with the
 * number of names whose roles changed. Throws a BackupError; the database is the owner's alone then.
 */
export async function restoreSecurity(
  { security, database: source }: Snapshot,
  database: string,
  { couchgate, allowed, say }: SecurityRestore,
): Promise<number> {
  const { grants, couchdbAuthOnly } = permissionsIn(security, source);
  const shown = shownForm(security);
  const entry: FileEntry = {
    database,
    line: 1,
    grants: [...grants].map(([name, roles]) => ({ by: 'name', name, roles, line: 1 })),
    couchdbAuthOnly: couchdbAuthOnly ? true : undefined,
    members: couchdbAuthOnly ? listIn(shown['members']) : undefined,
    admins: couchdbAuthOnly ? listIn(shown['admins']) : undefined,
  };
  try {
    const file = { entries: [entry], ownerGrants: [], managed: new Set<never>() };
    const plan = await makePlan(couchgate, file, { prune: false });
    for (const warning of plan.warnings) say(`Warning: ${warning}`);
    if (plan.databases.length === 0) return 0;
    const confirm = () => Promise.resolve(true);
    await applyPlan(plan, { couchgate, allowed, confirm, say, reason: `restore of ${source}` });
    return plan.databases.reduce((sum, { names }) => sum + names.length, 0);
  } catch (error) {
    throw new BackupError(
      `${database} is restored, but its grants are not; only the owner has access: ${reasonOf(error)}`,
    );
  }
}
