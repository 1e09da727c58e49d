// Takes out of a target what might be a credential. Credentials have no place there, but people put them there.

const MASK = '***';

/** `scheme://name:password` before an `@`, with or without percent-encoding of its signs. */
const USER_INFO = /((?::|%3A)(?:\/|%2F){2})[^/?#&]+$/i;
/** `%3A%2F/` is the longest beginning that can end with a plain slash. */
const LONGEST_START = 6;
const ENDS_USER_INFO = /[/?#&]/;
const AT_SIGN = /(@|%40)/;
/** CouchDB lets a semicolon end a parameter as well. */
const BETWEEN_PARAMETERS = /([&;])/;
const SECRET_NAME = /passw|secret|token|credential/i;

/** The path or query with user-info and the values of parameters named like a secret masked. Cheap for those that have none. */
export function maskTarget(text: string): string {
  const shown = text.includes('@') || text.includes('%40') ? maskUserInfo(text) : text;
  return SECRET_NAME.test(shown) ? maskParameters(shown) : shown;
}

/**
 * Looks back from every at sign to the one before it, and no further than a sign that ends user-info: so every character is looked at
 * a few times at most, whatever a stranger sends. What stands between two at signs behind a mask is the rest of the same password.
 */
function maskUserInfo(text: string): string {
  const pieces: string[] = text.split(AT_SIGN);
  let masking = false;
  for (let i = 0; i + 2 < pieces.length; i += 2) {
    const piece = pieces[i] ?? '';
    const shown: string = masking && !ENDS_USER_INFO.test(piece) ? MASK : maskEnd(piece);
    masking = shown !== piece;
    pieces[i] = shown;
  }
  return pieces.join('');
}

function maskEnd(piece: string): string {
  const end = Math.max(...['/', '?', '#', '&'].map((sign) => piece.lastIndexOf(sign)));
  // Of the slashes before a name, the last may be plain and the first encoded.
  const start = Math.max(0, end - LONGEST_START);
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
