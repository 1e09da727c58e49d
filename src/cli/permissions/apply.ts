// Applies a plan: refuses it as a whole if a database or a grant has moved, or a flag is missing. Then it
// changes one after the other, under the condition that nobody else has changed it.
import { type Widening } from '../../permissions/widening.ts';
import { type Admin } from '../../setup/admin.ts';
import { NotApplied } from './not-applied.ts';
import { type DatabaseChange, type Plan, securityAfter, wideningBy } from './plan.ts';
import { applyGrants, refusedGrants } from './apply-grants.ts';
import { flagsOf } from './flags.ts';
import { Moved, readMany, type RemotePermissions, whatMoved, writePermissions } from './remote.ts';

export interface ApplyDeps {
  readonly couchgate: Admin;
  readonly reason: string;
  readonly allowed: ReadonlySet<Widening>;
  /** Called after the checks, before the first change. */
  readonly confirm: () => Promise<boolean>;
  readonly say: (line: string) => void;
}

/** Databases and grants that are named when a plan is refused. */
const MAX_NAMED = 20;

/**
 * Applies the plan. Resolves with the number of changed databases and grants; undefined = not confirmed.
 * Throws if the plan is refused (nothing is changed), or if somebody changes one of them while it is applied.
 */
export async function applyPlan(plan: Plan, deps: ApplyDeps): Promise<number | undefined> {
  await refuseMovedOrWide(plan, deps);
  if (!(await deps.confirm())) return undefined;
  let done = 0;
  const total = plan.databases.length + plan.grants.length;
  const byName = new Map(plan.databases.map((change) => [change.database, change]));
  for await (const [database, found] of readMany(deps.couchgate, [...byName.keys()])) {
    const change = byName.get(database);
    if (change === undefined) continue;
    try {
      if (found?.revision !== change.revision) throw new Moved(database);
      // On the state that was read now: its roles are those of the planned revision.
      const warnings = await writePermissions(
        deps.couchgate,
        change,
        securityAfter(found, change),
        deps.reason,
      );
      for (const warning of warnings) deps.say(`Warning: ${database}: ${warning}`);
    } catch (error) {
      deps.say(
        `${done} of ${total} databases and grants are changed; ${database} and those after it are not.`,
      );
      if (!(error instanceof Moved)) throw error;
      throw new NotApplied('somebody else changed it:', await movedLines(deps, change), error);
    }
    done += 1;
    deps.say(`${database}: changed`);
  }
  return done + (await applyGrants(plan.grants, done, total, deps));
}

/** Reads every database of the plan once more. What needs a flag is computed on what is in force. */
async function refuseMovedOrWide(plan: Plan, deps: ApplyDeps): Promise<void> {
  const moved: DatabaseChange[] = [];
  const refused: string[] = [];
  const byName = new Map(plan.databases.map((change) => [change.database, change]));
  for await (const [database, found] of readMany(deps.couchgate, [...byName.keys()])) {
    const change = byName.get(database);
    if (change === undefined) continue;
    if (!isAsPlanned(found, change)) moved.push(change);
    else {
      const widening = wideningBy(found, change).filter((way) => !deps.allowed.has(way));
      refused.push(...flagsOf(database, widening));
    }
  }
  const grants = await refusedGrants(plan.grants, deps);
  refused.push(...grants.refused);
  const lines: string[] = [...grants.moved];
  for (const change of moved.slice(0, MAX_NAMED)) lines.push(...(await movedLines(deps, change)));
  if (moved.length > MAX_NAMED) lines.push(`and ${moved.length - MAX_NAMED} more`);
  if (lines.length > 0)
    throw new NotApplied('the plan is stale, nothing is changed; make a new one. What moved:', lines);
  const shown = refused.slice(0, MAX_NAMED);
  if (refused.length > MAX_NAMED) shown.push(`and ${refused.length - MAX_NAMED} more`);
  if (refused.length > 0) throw new NotApplied('nothing is changed:', shown);
}

/** True if the database is at the planned revision, and the names have the roles that the plan replaces. */
function isAsPlanned(
  found: RemotePermissions | undefined,
  { revision, names }: DatabaseChange,
): found is RemotePermissions {
  if (found?.revision !== revision) return false;
  return names.every(({ name, before }) => {
    const held = found.security['cloudant'] as Readonly<Record<string, readonly string[]>> | undefined;
    const roles = held !== undefined && Object.hasOwn(held, name) ? (held[name] ?? []) : [];
    return roles.length === before.length && before.every((role) => roles.includes(role));
  });
}

function movedLines(
  { couchgate }: ApplyDeps,
  { database, revision }: DatabaseChange,
): Promise<readonly string[]> {
  return whatMoved(couchgate, database, revision);
}
