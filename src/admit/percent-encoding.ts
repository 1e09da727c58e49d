// Decodes percent-encoding as CouchDB does where it does not demand valid escapes (Destination).
import { isUtf8 } from 'node:buffer';

const PERCENT = 37;
const PLUS = 43;
const SPACE = 32;

/** True if two hexadecimal digits follow the percent sign at `at`. */
export function isEscapeAt(text: string, at: number): boolean {
  return isHexDigit(text.charCodeAt(at + 1)) && isHexDigit(text.charCodeAt(at + 2));
}

/**
 * Decodes bytes that Node read as latin1: escapes once, `+` as a space, and a percent sign that begins no
 * escape as itself (mochiweb_util:unquote). Returns undefined if the result is not UTF-8.
 */
export function decodeBytes(text: string): string | undefined {
  const bytes = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 255) return undefined;
    if (code === PERCENT && isEscapeAt(text, at)) {
      bytes[length++] = Number.parseInt(text.slice(at + 1, at + 3), 16);
      at += 2;
    } else bytes[length++] = code === PLUS ? SPACE : code;
  }
  const decoded = bytes.subarray(0, length);
  return isUtf8(decoded) ? decoded.toString('utf8') : undefined;
}

function isHexDigit(code: number): boolean {
  const small = code | 0x20;
  return (code >= 48 && code <= 57) || (small >= 97 && small <= 102);
}
