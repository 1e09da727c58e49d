// Converts a start failure into one sentence for the operator.
import { ListenError } from './config/listen-address.ts';
import { ConfigurationError } from './config/problem.ts';
import { DataFolderError } from './config/secrets.ts';

interface SystemError extends Error {
  readonly code?: string;
  readonly path?: string;
}

/** Returns a sentence with the fix if it is known; never a stack trace or a credential. */
export function explainFailure(thrown: unknown): string {
  for (const known of [ConfigurationError, DataFolderError, ListenError])
    if (thrown instanceof known) return thrown.message;
  if (!(thrown instanceof Error)) return 'unknown error';
  const { code, path } = thrown as SystemError;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return `${path ?? 'a file'} cannot be written (${code})`;
  return thrown.message;
}
