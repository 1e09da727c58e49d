// Tells failures that one document causes from those of CouchDB, of the repository and of the run.
import { AnswerTooLarge } from '../couch/failure.ts';
import { InvalidAnswer } from '../couch/transfer.ts';
import { HttpError } from '../http-errors.ts';
import { InvalidJson } from './canonical.ts';
import { BackupError } from './errors.ts';

/** CouchDB refuses a read because of a document in it. */
export class Refused extends Error {}

/**
 * A sentence if the failure may be that of the documents that were asked for: it must not end the backup of
 * others (H39.2). Undefined for any other failure.
 */
export function documentFault(error: unknown): string | undefined {
  if (error instanceof Refused) return error.message;
  if (error instanceof AnswerTooLarge) return 'it is too large';
  if (error instanceof InvalidAnswer) return error.reason;
  if (error instanceof InvalidJson || error instanceof TypeError) return 'CouchDB did not return JSON';
  if (!(error instanceof Error) || error instanceof BackupError || error instanceof HttpError)
    return undefined;
  if (error.name === 'AbortError' || 'syscall' in error) return undefined;
  // For example a text that is longer than a string may be. The message may quote the document.
  return `reading it failed unexpectedly (${error.name})`;
}
