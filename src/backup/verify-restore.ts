// Proves that a snapshot can be restored: restores it into a scratch database, compares every leaf, and
// removes it.
import { randomBytes } from 'node:crypto';
import { checkRestored } from './check-restored.ts';
import { whileReading } from './readers.ts';
import { restoreDatabase, type RestoreContext } from './restore-database.ts';
import { type DocumentProblem } from './problem-list.ts';
import { type Snapshot, type Verification, writeVerification } from './snapshot.ts';
import { RestoreTarget } from './target.ts';

export const SCRATCH_PREFIX = 'couchgate-verify-';

export type VerifyRestoreOutcome =
  | { readonly verified: true; readonly verification: Verification }
  | { readonly verified: false; readonly problems: readonly DocumentProblem[] };

/**
 * Restores the snapshot into a scratch database of the owner alone, reads every leaf and attachment again,
 * and compares the content hashes. A success is recorded in the repository. The scratch database is always
 * removed.
 */
export async function verifyRestore(
  context: RestoreContext,
  snapshot: Snapshot,
): Promise<VerifyRestoreOutcome> {
  return whileReading(context.repository, 'verify --restore', () => verified(context, snapshot));
}

async function verified(context: RestoreContext, snapshot: Snapshot): Promise<VerifyRestoreOutcome> {
  const { repository, couch } = context;
  const database = `${SCRATCH_PREFIX}${randomBytes(6).toString('hex')}`;
  try {
    const restored = await restoreDatabase(context, snapshot, database);
    if (restored.problems.length > 0) return { verified: false, problems: restored.problems };
    const { differences, leaves, attachments } = await checkRestored(context, snapshot, database);
    if (differences.length > 0) return { verified: false, problems: differences };
    const verification = {
      snapshot: snapshot.id,
      verified_at: new Date().toISOString(),
      leaves,
      attachments,
    };
    await writeVerification(repository, verification);
    return { verified: true, verification };
  } finally {
    await new RestoreTarget(couch, database).remove();
  }
}
