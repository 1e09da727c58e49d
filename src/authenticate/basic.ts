// Authenticates requests by the Authorization header.
import { type Identified, known } from '../context.ts';
import { type Accepted, type CredentialCheck, type CredentialVerdict } from '../identity/credential-check.ts';
import { type Authenticator, NOT_APPLICABLE, type Authentication } from './authenticator.ts';

const SCHEME = 'basic ';

/**
 * Creates Basic authentication. If the header has Basic credentials, they are accepted or refused, and a
 * cookie in the request is ignored. Another scheme counts as absent, as in CouchDB. Unlike in CouchDB, the
 * name of the scheme is case-insensitive (RFC 9110 section 11.1): otherwise credentials after `BASIC` would
 * be ignored.
 */
export function createBasicAuthenticator(credentials: CredentialCheck): Authenticator {
  return function authenticateBasic(req, context) {
    const header = req.headers.authorization;
    if (header === undefined || header === '') return NOT_APPLICABLE;
    if (header.length < SCHEME.length || header.slice(0, SCHEME.length).toLowerCase() !== SCHEME) {
      return NOT_APPLICABLE;
    }
    const verdict = credentials.check(
      header.slice(SCHEME.length).trimStart(),
      known(context.client, 'client').ip,
    );
    return verdict instanceof Promise ? verdict.then(authenticationBy) : authenticationBy(verdict);
  };
}

/** Results of cached verdicts, so that a repeated request allocates none. */
const results = new WeakMap<Accepted, Authentication>();

function authenticationBy(verdict: CredentialVerdict): Authentication {
  if (verdict.outcome === 'none') return NOT_APPLICABLE;
  if (verdict.outcome === 'refused') return verdict;
  const cached = results.get(verdict);
  if (cached !== undefined) return cached;
  const { principal, version } = verdict;
  const keyVersion = principal.kind === 'key' ? { keyVersion: version } : undefined;
  const identified: Identified = Object.freeze({ principal, method: 'basic', ...keyVersion });
  const result: Authentication = Object.freeze({ outcome: 'accepted', identified });
  results.set(verdict, result);
  return result;
}
