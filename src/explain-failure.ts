// Converts a start failure into one sentence for the operator.
import { ConfigurationError } from './config/problem.ts';
import { DataFolderError } from './config/secrets.ts';

interface SystemError extends Error {
  readonly code?: string;
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  readonly path?: string;
}

/** Returns a sentence with the fix if it is known; never a stack trace or a credential. */
export function explainFailure(thrown: unknown): string {
  if (thrown instanceof ConfigurationError || thrown instanceof DataFolderError) return thrown.message;
  if (!(thrown instanceof Error)) return 'unknown error';
  const { code, syscall, address, port, path } = thrown as SystemError;
  if (syscall === 'listen') {
    const place = `${address ?? '?'}:${port ?? '?'}`;
    if (code === 'EADDRINUSE') return `${place} is already in use; set COUCHGATE_LISTEN to another address`;
    return `cannot listen on ${place} (${code ?? thrown.message}); set COUCHGATE_LISTEN to another address`;
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return `${path ?? 'a file'} cannot be written (${code})`;
  return thrown.message;
}
