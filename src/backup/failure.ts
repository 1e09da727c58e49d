// Converts the failures of the engine into what a job or an answer says.
import { HttpError } from '../http-errors.ts';
import {
  BackupError,
  Cancelled,
  Damaged,
  fileFailure,
  NoRepository,
  RepositoryLocked,
  WrongKey,
} from './errors.ts';
import { type Failure, type FailureKind } from './process-protocol.ts';

/** The repository does not have what the request names. */
export class NotInRepository extends BackupError {}

/** The request names a database of Couchgate itself, which only the commands restore (H34). */
export class OwnDatabase extends BackupError {}

/** Any other error is a fault of Couchgate: its text may hold anything, so only its name is passed on. */
export function failureOf(thrown: unknown): Failure {
  const error = fileFailure(thrown, 'Reading or writing a file');
  if (error instanceof BackupError)
    return { kind: kindOf(error), reason: error.message, exitCode: error.exitCode };
  if (error instanceof HttpError) {
    const reason = error.detail === undefined ? error.reason : `${error.reason} (${error.detail})`;
    return { kind: 'couchdb', reason, exitCode: 1 };
  }
  const name = error instanceof Error ? error.name : typeof error;
  return { kind: 'failed', reason: `The backup process failed unexpectedly (${name}).`, exitCode: 1 };
}

function kindOf(error: BackupError): FailureKind {
  if (error instanceof NotInRepository) return 'missing';
  if (error instanceof OwnDatabase) return 'forbidden';
  if (error instanceof RepositoryLocked) return 'busy';
  if (error instanceof NoRepository || error instanceof WrongKey) return 'setup';
  if (error instanceof Damaged) return 'damaged';
  return error instanceof Cancelled ? 'cancelled' : 'failed';
}
