// Refuses a request whose permission was revoked while it waited (H19).
import { type Context, known, permitted } from '../context.ts';
import { Forbidden, type HttpError, Unauthorized } from '../http-errors.ts';
import { type Standing } from '../permissions/change.ts';
import { type Credential, type IsStillPermitted, type RevocationWatch } from './revocation-watch.ts';
import { credentialOf, watchedBy } from './watched-exchange.ts';

/** Decides whether a credential is still valid. Rejects when that cannot be read. */
export type IsStillAuthenticated = (credential: Credential) => boolean | Promise<boolean>;

const REASON = 'The permission for this request was revoked.';

/**
 * Runs `work` of a request while it is watched. If the watch ends the request, it sets `context.hasEnded`,
 * which `work` can check without another wait: by `refuseEnded`, which `requireStillPermitted` and
 * `standingOf` use too.
 */
export async function whileWatched<T>(
  watch: Pick<RevocationWatch, 'register'>,
  context: Context,
  work: () => Promise<T>,
): Promise<T> {
  const { endpoint } = permitted(context);
  // Couchgate alone decides about what it answers, also where CouchDB decides about documents.
  const exchange = watchedBy(context, { endpoint, identity: 'marker' }, (reason) => {
    if (reason === 'revoked') context.hasEnded = true;
  });
  const unwatch = watch.register(exchange);
  try {
    return await work();
  } finally {
    unwatch();
  }
}

/**
 * Call it after a wait, before acting. Throws 403 (401 without credentials) when the permission is revoked.
 */
export async function requireStillPermitted(
  isStillPermitted: IsStillPermitted,
  context: Context,
): Promise<void> {
  const isPermitted = await isStillPermitted(watchedBy(context, permitted(context), () => undefined));
  if (!isPermitted) throw revoked(context);
  refuseEnded(context);
}

/** Throws 403 (401 without credentials) if the watch has seen the credential or the permission end. */
export function refuseEnded(context: Context): void {
  if (context.hasEnded) throw revoked(context);
}

/** The standing of a request for work that waits for other work. The permission is decided there. */
export function standingOf(isStillAuthenticated: IsStillAuthenticated, context: Context): Standing {
  return {
    refuseEnded: () => refuseEnded(context),
    async requireStillAuthenticated() {
      if (!(await isStillAuthenticated(credentialOf(context)))) throw revoked(context);
      refuseEnded(context);
    },
  };
}

/** The refusal of a revoked request; writes it into the outcome. */
export function revoked(context: Context): HttpError {
  context.outcome.refuse('revoked', REASON);
  const { principal } = known(context.identified, 'identified');
  return principal.kind === 'nobody' ? new Unauthorized(REASON) : new Forbidden(REASON);
}
