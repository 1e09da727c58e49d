// Applies the prefix grants and server grants of a plan.
import { type ApplyDeps } from './apply.ts';
import { flagsOf } from './flags.ts';
import { NotApplied } from './not-applied.ts';
import { type GrantChange, grantWidening, isSameState, wordsOf } from './plan-grants.ts';
import { Moved } from './remote.ts';
import { readGrants, type RemoteGrant, writeGrant } from './remote-grants.ts';

/**
 * Compares the grants in force with the plan: those that have moved, with what moved, and those that need a
 * flag. What needs a flag is computed on what is in force.
 */
export async function refusedGrants(
  changes: readonly GrantChange[],
  { couchgate, allowed }: Pick<ApplyDeps, 'couchgate' | 'allowed'>,
): Promise<{ readonly moved: readonly string[]; readonly refused: readonly string[] }> {
  if (changes.length === 0) return { moved: [], refused: [] };
  const byPlace = new Map((await readGrants(couchgate)).map((grant) => [placeOf(grant), grant]));
  const moved: string[] = [];
  const refused: string[] = [];
  for (const change of changes) {
    const held = byPlace.get(placeOf(change));
    if (!isAsPlanned(held, change)) moved.push(movedLine(held, change));
    const widening = grantWidening(held, change.after).filter((way) => !allowed.has(way));
    refused.push(...flagsOf(placeOf(change), widening));
  }
  return { moved, refused };
}

/** Writes one grant after the other. Returns their number; `done` and `total` count the databases, too. */
export async function applyGrants(
  changes: readonly GrantChange[],
  done: number,
  total: number,
  deps: ApplyDeps,
): Promise<number> {
  for (const [at, change] of changes.entries()) {
    const place = placeOf(change);
    try {
      for (const warning of await writeGrant(deps.couchgate, change))
        deps.say(`Warning: ${place}: ${warning}`);
    } catch (error) {
      deps.say(
        `${done + at} of ${total} databases and grants are changed; ${place} and those after it are not.`,
      );
      if (!(error instanceof Moved)) throw error;
      const held = (await readGrants(deps.couchgate)).find((grant) => placeOf(grant) === place);
      throw new NotApplied('somebody else changed it:', [movedLine(held, change)], error);
    }
    deps.say(`${place}: changed`);
  }
  return changes.length;
}

/** The words for a grant, such as `prefix grant backend`. */
export function placeOf({ kind, id }: Pick<GrantChange, 'kind' | 'id'>): string {
  return `${kind} ${id}`;
}

function isAsPlanned(held: RemoteGrant | undefined, { revision, before }: GrantChange): boolean {
  if (held === undefined || before === null)
    return held === undefined && before === null && revision === null;
  return held.revision === revision && isSameState(held, before);
}

function movedLine(held: RemoteGrant | undefined, change: GrantChange): string {
  const place = placeOf(change);
  if (held === undefined) return `${place}: it was revoked`;
  return `${place}: changed by ${held.by} at ${held.at}: ${wordsOf(change.before)} -> ${wordsOf(held)}`;
}
