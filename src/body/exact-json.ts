// Parses JSON that will be written again; refuses numbers that would change.
import { BadRequest } from '../http-errors.ts';
import { parseJson } from './parse.ts';

const QUOTE = 34;
const BACKSLASH = 92;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;
const NUMBER = /-?\d[\d.eE+-]*/y;

/**
 * The value of a JSON body. Throws BadRequest for invalid JSON, and for numbers that a double cannot
 * represent.
 */
export function parseExactJson(bytes: Buffer): unknown {
  const value = parseJson(bytes);
  refuseInexact(bytes.toString('utf8'));
  return value;
}

/**
 * Checks the numbers outside strings in valid JSON. A regular expression for strings would need a stack as
 * deep as a string is long.
 */
function refuseInexact(json: string): void {
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (code === QUOTE) i = endOfString(json, i);
    else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      NUMBER.lastIndex = i;
      const token = NUMBER.exec(json)?.[0] ?? '';
      refuseInexactNumber(token);
      i += Math.max(0, token.length - 1);
    }
  }
}

/** The index of the quote that ends the string which begins at `start`. */
function endOfString(json: string, start: number): number {
  let i = start + 1;
  while (i < json.length && json.charCodeAt(i) !== QUOTE) i += json.charCodeAt(i) === BACKSLASH ? 2 : 1;
  return i;
}

function refuseInexactNumber(token: string): void {
  const number = Number(token);
  const isInteger = !/[.eE]/u.test(token);
  if (Number.isFinite(number) && !(isInteger && !Number.isSafeInteger(number))) return;
  throw new BadRequest('A number in the request body cannot be represented exactly; send it as a string.');
}
