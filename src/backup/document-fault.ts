// Tells failures that one document causes from those of CouchDB, of the repository and of the run.
import { AnswerTooLarge } from '../couch/failure.ts';
import { InvalidAnswer } from '../couch/transfer.ts';
import { BadRequest, HttpError } from '../http-errors.ts';
import { InvalidJson } from './canonical.ts';
import { BackupError } from './errors.ts';

/** CouchDB refuses a read because of a document in it. */
export class RefusedRead extends Error {}

/**
 * A sentence if the failure may be that of the documents that were read or written: it must not end the
 * backup or the restore of others (H39.2, H39.4). Undefined for any other failure.
 */
export function documentFault(error: unknown): string | undefined {
  if (error instanceof RefusedRead) return error.message;
  if (error instanceof AnswerTooLarge) return 'it is too large';
  if (error instanceof InvalidAnswer) return error.reason;
  // `parseJson` refuses the body of an answer as that of a request.
  if (error instanceof InvalidJson || error instanceof TypeError || error instanceof BadRequest)
    return 'CouchDB did not return JSON';
  if (!(error instanceof Error) || error instanceof BackupError || error instanceof HttpError)
    return undefined;
  if (error.name === 'AbortError' || 'syscall' in error) return undefined;
  // For example a text that is longer than a string may be. The message may quote the document.
  return `reading it failed unexpectedly (${error.name})`;
}
