// Says why a request of the access log was refused. Pure functions.

/** A line of the log, as docs/audit-log.md says. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The reasons of refused logins, and the rules that give no reason; docs/audit-log.md. */
const WORDS: Readonly<Record<string, string>> = {
  'wrong password': 'Wrong password, or one that a rotation has ended.',
  'unknown name': 'No API key and no user has the name.',
  revoked: 'The key was revoked.',
  expired: 'The key has expired.',
  locked: 'Too many wrong passwords.',
  'session ended': 'The session has ended, or its password has changed.',
  address: 'The address may not use Couchgate.',
  'owner address': 'Server admins may not come from this address.',
  preflight: 'CORS: the origin of the page, the method or a header is not allowed.',
  'foreign page': 'A page of another site sent it, and CORS does not allow its origin.',
  'not signed in': 'No password was sent.',
  malformed: 'The request is malformed.',
  undecided: 'The password, the permissions or the body could not be read.',
  'access-log': 'The access log could not be written.',
};

/** A sentence; the text of the line if there is none for it. */
export function refusalInWords({ reason, rule }: LogLine): string {
  const text = [reason, rule].find((part) => typeof part === 'string' && part !== '');
  if (typeof text !== 'string') return '';
  return Object.hasOwn(WORDS, text) ? (WORDS[text] ?? text) : text;
}

/** The page that tells more about a refusal by this rule. */
export function pageAbout({ rule, clientIp }: LogLine):
  | {
      readonly words: string;
      readonly segments: readonly string[];
      readonly parameters: Readonly<Record<string, string>>;
    }
  | undefined {
  if (rule === 'preflight' || rule === 'foreign page')
    return { words: 'Why is the page blocked?', segments: ['cors'], parameters: {} };
  if (rule === 'address' || rule === 'owner address')
    return {
      words: 'Test the address',
      segments: ['addresses'],
      parameters: typeof clientIp === 'string' ? { address: clientIp } : {},
    };
  return undefined;
}
