// Refuses a request whose permission was revoked while it waited (H19).
import { type Context, known, permitted } from '../context.ts';
import { Forbidden, type HttpError, Unauthorized } from '../http-errors.ts';
import { type WatchedExchange } from './revocation-watch.ts';
import { watchedBy } from './watched-exchange.ts';

/** Decides again by the permissions in force now. Rejects when they cannot be read. */
export type IsStillPermitted = (exchange: WatchedExchange) => boolean | Promise<boolean>;

const REASON = 'The permission for this request was revoked.';

/**
 * Call it after a wait, before acting. Throws 403 (401 without credentials) when the permission is revoked.
 */
export async function requireStillPermitted(
  isStillPermitted: IsStillPermitted,
  context: Context,
): Promise<void> {
  const isPermitted = await isStillPermitted(watchedBy(context, permitted(context), () => undefined));
  if (!isPermitted) throw revoked(context);
}

/** The refusal of a revoked request; writes it into the outcome. */
export function revoked(context: Context): HttpError {
  context.outcome.refuse('revoked', REASON);
  const { principal } = known(context.identified, 'identified');
  return principal.kind === 'nobody' ? new Unauthorized(REASON) : new Forbidden(REASON);
}
