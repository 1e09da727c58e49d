// Checks that a Couchgate stands before the CouchDB into which a database is restored: grants that go to
// another cluster could open a live database again, with access that was revoked there (H29).
import { BackupError } from '../../backup/errors.ts';
import { DatabaseSource, NoDatabase } from '../../backup/source.ts';
import { databasePath } from '../../couch/document-path.ts';
import { type CouchTransfer } from '../../couch/transfer.ts';
import { type Admin } from '../../setup/admin.ts';

/** The two ways to one database. */
export interface BothSides {
  readonly couchgate: Admin;
  readonly couch: CouchTransfer;
}

/**
 * Before the restore: both sides know the same database, or none. Throws a BackupError; nothing is changed.
 */
export async function requireSameBefore(sides: BothSides, database: string): Promise<void> {
  const [byCouchgate, byCouch] = await startsOf(sides, database);
  if (byCouchgate === byCouch) return;
  throw new BackupError(
    `This Couchgate has another database ${database} than the CouchDB that is restored into. Pass its own Couchgate with --couchgate. Nothing was changed.`,
  );
}

/** After the restore: Couchgate has the database that was restored. Throws a BackupError. */
export async function requireSameAfter(sides: BothSides, database: string): Promise<void> {
  const [byCouchgate, byCouch] = await startsOf(sides, database);
  // CouchDB before 3.3 does not say when a database was created.
  if (byCouchgate === byCouch && byCouch !== undefined && byCouch !== '0') return;
  throw new BackupError(
    `${database} is restored, but its grants are not; only the owner has access: this Couchgate has no such database, or another one`,
  );
}

/** When the database was created, according to Couchgate and to CouchDB; undefined = there is none. */
async function startsOf(
  { couchgate, couch }: BothSides,
  database: string,
): Promise<readonly [byCouchgate: string | undefined, byCouch: string | undefined]> {
  const { status, body } = await couchgate.ask('GET', databasePath(database));
  if (status !== 200 && status !== 404)
    throw new BackupError(`Couchgate answered ${status} to a question about ${database}.`);
  const { instance_start_time: start } = (body ?? {}) as { readonly instance_start_time?: unknown };
  const byCouchgate = status === 404 ? undefined : String(start);
  try {
    return [byCouchgate, (await new DatabaseSource(couch, database).info()).instance_start_time];
  } catch (error) {
    if (!(error instanceof NoDatabase)) throw error;
    return [byCouchgate, undefined];
  }
}
