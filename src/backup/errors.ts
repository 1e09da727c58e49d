// Defines the failures of a backup, each with the exit code of the command.
import { LocalFailure } from '../couch/failure.ts';

/**
 * Exit codes of the backup commands; 0 = done, 2 = invalid usage. An unknown code means failure.
 *
 * 1 = failed, 3 = incomplete: something could not be read, 10 = no repository, 11 = locked, 12 = wrong key,
 * 130 = cancelled.
 */
export type BackupExitCode = 1 | 3 | 10 | 11 | 12 | 130;

/**
 * A failure that one sentence describes. The sentence never contains a credential or the text of a document.
 */
export class BackupError extends LocalFailure {
  readonly exitCode: BackupExitCode;

  constructor(message: string, exitCode: BackupExitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The folder is missing, is not a repository, or has a newer format. */
export class NoRepository extends BackupError {
  constructor(message: string) {
    super(message, 10);
  }
}

/** Another process writes to the repository. */
export class RepositoryLocked extends BackupError {
  constructor(message: string) {
    super(message, 11);
  }
}

/** The key does not fit, or the repository needs one. */
export class WrongKey extends BackupError {
  constructor(message: string) {
    super(message, 12);
  }
}

/** A file of the repository is missing or damaged. The message names the file. */
export class Damaged extends BackupError {}

/** The caller cancelled the work. What was finished is kept. */
export class Cancelled extends BackupError {
  constructor(message: string) {
    super(message, 130);
  }
}

/** Converts an error of the file system into a sentence; other errors are returned as they are. */
export function fileFailure(error: unknown, doing: string): unknown {
  if (error instanceof BackupError || !(error instanceof Error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const reasons: Readonly<Record<string, string>> = {
    ENOSPC: 'the disk is full',
    EDQUOT: 'the quota of the disk is used up',
    EACCES: 'permission is denied',
    EPERM: 'permission is denied',
    EROFS: 'the file system is read-only',
    ENOENT: 'it does not exist',
    EIO: 'the disk reports an I/O error',
  };
  return new BackupError(`${doing} failed: ${reasons[code] ?? code}.`);
}
