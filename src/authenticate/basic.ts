// Authenticates requests by the Authorization header.
import { type Identified, known } from '../context.ts';
import { type Accepted, type CredentialCheck, type CredentialVerdict } from '../identity/credential-check.ts';
import { type Authenticator, NOT_MINE, type Outcome } from './authenticator.ts';

const SCHEME = 'basic ';

/**
 * Creates Basic authentication. If the header is present, it alone decides: the request is accepted or
 * refused, whatever cookie it has.
 * Another scheme counts as absent, as in CouchDB. Unlike CouchDB, `basic` is case-insensitive (RFC 9110
 * section 11.1): the client would otherwise assume that it is signed in.
 */
export function createBasicAuthenticator(credentials: CredentialCheck): Authenticator {
  return function authenticateBasic(req, context) {
    const header = req.headers.authorization;
    if (header === undefined || header === '') return NOT_MINE;
    if (header.length < SCHEME.length || header.slice(0, SCHEME.length).toLowerCase() !== SCHEME) {
      return NOT_MINE;
    }
    const verdict = credentials.check(
      header.slice(SCHEME.length).trimStart(),
      known(context.client, 'client').ip,
    );
    return verdict instanceof Promise ? verdict.then(outcomeOf) : outcomeOf(verdict);
  };
}

/** Outcomes of cached verdicts, so that a repeated request allocates none. */
const outcomes = new WeakMap<Accepted, Outcome>();

function outcomeOf(verdict: CredentialVerdict): Outcome {
  if (verdict.outcome === 'none') return NOT_MINE;
  if (verdict.outcome === 'refused') return verdict;
  const made = outcomes.get(verdict);
  if (made !== undefined) return made;
  const { principal, version } = verdict;
  const keyVersion = principal.kind === 'key' ? { keyVersion: version } : undefined;
  const identified: Identified = Object.freeze({ principal, method: 'basic', ...keyVersion });
  const outcome: Outcome = Object.freeze({ outcome: 'accepted', identified });
  outcomes.set(verdict, outcome);
  return outcome;
}
