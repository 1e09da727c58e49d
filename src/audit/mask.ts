// Masks credentials in request targets and error messages.

const MASK = '***';

/** `://name:password` before an `@`, with or without percent-encoding of its signs. */
const USER_INFO = /((?::|%3A)(?:\/|%2F){2})[^/?#&]+$/i;
/** Length of `%3A%2F/`, the longest start that can end with a plain slash, minus that slash. */
const MAX_START_LENGTH = 6;
const ENDS_USER_INFO = /[/?#&]/;
const AT_SIGN = /(@|%40)/;
/** CouchDB accepts a semicolon as separator of parameters too. */
const BETWEEN_PARAMETERS = /([&;])/;
const SECRET_NAME = /passw|secret|token|credential/i;

/**
 * Masks user-info, and the values of parameters whose name looks like a secret. Cheap for targets without
 * them.
 */
export function maskTarget(text: string): string {
  const masked = text.includes('@') || text.includes('%40') ? maskUserInfo(text) : text;
  return SECRET_NAME.test(masked) ? maskParameters(masked) : masked;
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
    const masked: string = masking && !ENDS_USER_INFO.test(piece) ? MASK : maskEnd(piece);
    masking = masked !== piece;
    pieces[i] = masked;
  }
  return pieces.join('');
}

function maskEnd(piece: string): string {
  const end = Math.max(...['/', '?', '#', '&'].map((sign) => piece.lastIndexOf(sign)));
  // The first slash before a name may be encoded while the last one is plain.
  const start = Math.max(0, end - MAX_START_LENGTH);
  return piece.slice(0, start) + piece.slice(start).replace(USER_INFO, `$1${MASK}`);
}

function maskParameters(text: string): string {
  const start = text.indexOf('?');
  if (start === -1) return text;
  const pieces = text
    .slice(start + 1)
    .split(BETWEEN_PARAMETERS)
    .map((parameter) => {
      const equals = parameter.indexOf('=');
      return equals !== -1 && SECRET_NAME.test(parameter.slice(0, equals))
        ? `${parameter.slice(0, equals)}=${MASK}`
        : parameter;
    });
  return `${text.slice(0, start)}?${pieces.join('')}`;
}
