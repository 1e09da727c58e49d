// Parses form-encoded bodies strictly.
import { BadRequest } from '../http-errors.ts';

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses a form-encoded body. Fields keep their order, repeated ones are kept. Throws BadRequest for invalid
 * UTF-8: URLSearchParams alone would replace bad bytes with U+FFFD, and two different names would become
 * equal.
 */
export function parseForm(bytes: Buffer): URLSearchParams {
  const fields = new URLSearchParams();
  try {
    for (const pair of strictUtf8.decode(bytes).split('&')) {
      if (pair === '') continue;
      const equals = pair.indexOf('=');
      const name = equals === -1 ? pair : pair.slice(0, equals);
      fields.append(unescapeField(name), unescapeField(equals === -1 ? '' : pair.slice(equals + 1)));
    }
  } catch {
    throw new BadRequest('Request body is not a valid UTF-8 form');
  }
  return fields;
}

function unescapeField(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}
