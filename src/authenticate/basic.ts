// Reads the Authorization header. Whether a name and a password are right is identity/credential-check.ts's business.
import { type Identified, known } from '../context.ts';
import { Unauthorized } from '../http-errors.ts';
import { type Accepted, type CredentialCheck, type CredentialVerdict } from '../identity/credential-check.ts';
import { type Authenticator, NOT_MINE, type Outcome } from './authenticator.ts';

const SCHEME = 'basic ';

/**
 * Basic authentication. The header decides alone where it is there: its credentials are right, or the request is refused, whatever cookie
 * comes with it. Of CouchDB's readings two are not followed, because a sender would take itself for signed in: `basic` in lower case is
 * Basic (RFC 9110 section 11.1), and another scheme is a 401 instead of nobody.
 */
export function createBasicAuthenticator(credentials: CredentialCheck): Authenticator {
  return function authenticateBasic(req, context) {
    const header = req.headers.authorization;
    if (header === undefined || header === '') return NOT_MINE;
    if (header.length < SCHEME.length || header.slice(0, SCHEME.length).toLowerCase() !== SCHEME) {
      return header.toLowerCase() === 'basic' ? NOT_MINE : UNKNOWN_SCHEME;
    }
    const verdict = credentials.check(
      header.slice(SCHEME.length).trimStart(),
      known(context.client, 'client').ip,
    );
    return verdict instanceof Promise ? verdict.then(outcomeOf) : outcomeOf(verdict);
  };
}

const UNKNOWN_SCHEME: Outcome = Object.freeze({
  outcome: 'refused',
  error: new Unauthorized('The Authorization scheme must be Basic.'),
});

/** Outcomes of credentials that are known: made once for each. */
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
