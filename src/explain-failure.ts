// Puts into one clear line why Couchgate could not start. What went wrong is its thrower's business.
import { ConfigurationError } from './config/problem.ts';
import { DataFolderError } from './config/secrets.ts';

interface SystemError extends Error {
  readonly code?: string;
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  readonly path?: string;
}

/** A sentence with what to do, where it is known; never a stack, never a credential. */
export function explainFailure(thrown: unknown): string {
  if (thrown instanceof ConfigurationError || thrown instanceof DataFolderError) return thrown.message;
  if (!(thrown instanceof Error)) return 'it failed for an unknown reason';
  const { code, syscall, address, port, path } = thrown as SystemError;
  if (syscall === 'listen') {
    const place = `${address ?? '?'}:${port ?? '?'}`;
    if (code === 'EADDRINUSE')
      return `${place} is taken by another program; set COUCHGATE_LISTEN to another address`;
    return `${place} cannot be listened on (${code ?? thrown.message}); set COUCHGATE_LISTEN to another address`;
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return `${path ?? 'a file'} cannot be written (${code})`;
  return thrown.message;
}
