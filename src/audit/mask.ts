// Masks credentials in request targets and error messages.

const MASK = '***';
/** Replaces user-info that contains a parameter with a secret: the secret may continue after the at sign. */
const MASK_TO_END = `secret=${MASK}`;

/**
 * Names of parameters whose values are masked. A name is compared decoded, in lower case, and without signs:
 * `API-Key` and `%61pi_key` are both `apikey`. The last group matches only at the end: `user_pass`, not
 * `passed`.
 */
const SECRET_NAME =
  /passw|passphrase|passcode|secret|token|credential|cookie|bearer|apikey|accesskey|privatekey|authorization|authsession|sessionid|jwt|signature|(?:pwd|pass|auth|sig|otp)$/;

/** A text that matches neither pattern has no credential in a parameter. Most targets match neither. */
const MAY_NAME_SECRET = new RegExp(
  [
    'pass[\\W_]*(?:w|phrase|code)|secret|token|credential|cookie|bearer|(?:api|access|private)[\\W_]*key|jwt',
    'signature|auth[\\W_]*(?:orization|session)|session[\\W_]*id|(?:pwd|pass|auth|sig|otp)(?![a-z0-9])',
  ].join('|'),
  'i',
);
/** An encoded equals sign, text that is encoded twice, or an escape in a name. */
const MAY_HIDE_SECRET = /%25|%3[Dd]|(?:^|[?&;/#])[^=&;?/#%]*%[^=&;?/#]*=/;
/** Text that was encoded more often is masked as a whole. */
const MAX_DECODINGS = 4;

/** A name of a secret is not shorter, encoded or not. */
const MIN_SECRET_NAME_LENGTH = 3;

/** What user-info begins with. Most texts have none. */
const MAY_HOLD_USER_INFO = /(?::|%3A)(?:\/|%2F)/i;
/** `:/name:password` before an `@`, with or without percent-encoding of its signs; proxies merge slashes. */
const USER_INFO = /((?::|%3A)(?:\/|%2F)+)[^/?#&]+$/i;
/** Length of `%3A%2F/`, the longest start that can end with a plain slash, minus that slash. */
const MAX_START_LENGTH = 6;
const ENDS_USER_INFO = /[/?#&]/;
const AT_SIGN = /(@|%40)/;

/**
 * Masks user-info, and the values of parameters whose name looks like a secret. Cheap for texts without them.
 */
export function maskTarget(text: string): string {
  const mayHoldUserInfo = (text.includes('@') || text.includes('%40')) && MAY_HOLD_USER_INFO.test(text);
  const masked = mayHoldUserInfo ? maskUserInfo(text) : text;
  if (!mayHoldSecret(masked)) return masked;
  return masked
    .split(/(\s+)/)
    .map((word) => maskParameters(word, 0))
    .join('');
}

/**
 * The start of a long text, at most `length` characters. It ends at a sign that ends user-info, so that no
 * part of a password is left without the at sign that shows what it is.
 */
export function startOf(text: string, length: number): string {
  if (text.length <= length) return text;
  let end = length;
  while (end > 0 && !ENDS_USER_INFO.test(text.charAt(end - 1))) end -= 1;
  return `${text.slice(0, end)}...`;
}

function mayHoldSecret(text: string): boolean {
  return MAY_NAME_SECRET.test(text) || (text.includes('%') && MAY_HIDE_SECRET.test(text));
}

/**
 * Searches backwards from every at sign to the previous one, and stops at a character that ends user-info. So
 * every character is read a few times at most, whatever a client sends. Text between two at signs after a
 * mask belongs to the same password.
 */
function maskUserInfo(text: string): string {
  const pieces: string[] = text.split(AT_SIGN);
  let masking = false;
  for (let i = 0; i + 2 < pieces.length; i += 2) {
    const piece = pieces[i] ?? '';
    const masked: string = masking && !ENDS_USER_INFO.test(piece) ? maskOf(piece) : maskEnd(piece);
    masking = masked !== piece;
    pieces[i] = masked;
  }
  return pieces.join('');
}

function maskEnd(piece: string): string {
  if (!MAY_HOLD_USER_INFO.test(piece)) return piece;
  const end = Math.max(...['/', '?', '#', '&'].map((sign) => piece.lastIndexOf(sign)));
  // The first slash before a name may be encoded while the last one is plain.
  const start = Math.max(0, end - MAX_START_LENGTH);
  return (
    piece.slice(0, start) +
    piece
      .slice(start)
      .replace(USER_INFO, (userInfo, scheme: string) => scheme + maskOf(userInfo.slice(scheme.length)))
  );
}

function maskOf(userInfo: string): string {
  return /=|%3d|%25/i.test(userInfo) && mayHoldSecret(userInfo) ? MASK_TO_END : MASK;
}

/**
 * Masks the values of parameters in a path, a query, or a text that holds one. CouchDB accepts a semicolon as
 * separator too. A secret that is not encoded may contain separators: a piece without a name that follows a
 * masked piece belongs to the secret.
 */
function maskParameters(text: string, decodings: number): string {
  const pieces = text.split(/([&;?#/])/);
  let isSecret = false;
  for (let at = 0; at < pieces.length; at += 2) {
    const piece = pieces[at] ?? '';
    const separator = pieces[at - 1] ?? '';
    const isRest: boolean = isSecret && (!/=|%3d/i.test(piece) || (separator !== '&' && separator !== ';'));
    const masked: string = isRest ? (piece === '' ? '' : MASK) : maskPiece(piece, decodings);
    isSecret = isRest || masked !== piece;
    pieces[at] = masked;
  }
  return pieces.join('');
}

/** Masks what follows the first name of a secret. */
function maskPiece(piece: string, decodings: number): string {
  const parts = piece.split('=');
  const secret = parts.findIndex((part, at) => at < parts.length - 1 && isSecretName(part));
  if (secret !== -1) return `${parts.slice(0, secret + 1).join('=')}=${MASK}`;
  return parts.map((part) => maskEncoded(part, decodings)).join('=');
}

/** Masks text that has parameters after decoding: a URL in a parameter, or an encoded question mark. */
function maskEncoded(text: string, decodings: number): string {
  if (!/%25|%3d/i.test(text)) return text;
  if (decodings === MAX_DECODINGS) return MASK;
  const decoded = decode(text);
  const masked = maskParameters(decoded, decodings + 1);
  return masked === decoded ? text : encodeURIComponent(masked);
}

function isSecretName(name: string): boolean {
  if (name.length < MIN_SECRET_NAME_LENGTH) return false;
  let decoded = name;
  for (let time = 0; time < MAX_DECODINGS && decoded.includes('%'); time += 1) decoded = decode(decoded);
  return SECRET_NAME.test(decoded.toLowerCase().replace(/[^a-z0-9]/g, ''));
}

/** Decodes every valid escape, byte by byte: the names are ASCII. */
function decode(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)));
}
