// Checks the numbers of JSON that will be written again: they must come out as they went in.
import { BadRequest } from '../http-errors.ts';

const QUOTE = 34;
const BACKSLASH = 92;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;
const NUMBER = /-?\d[\d.eE+-]*/y;

/**
 * Throws BadRequest for numbers that a double does not hold. Looks at what stands outside texts in valid
 * JSON. A pattern
 * for texts would need a stack as deep as one is long.
 */
export function refuseInexact(json: string): void {
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

/** Throws BadRequest for a number that a double does not hold. */
export function refuseInexactNumber(token: string): void {
  const number = Number(token);
  const isInteger = !/[.eE]/u.test(token);
  if (Number.isFinite(number) && !(isInteger && !Number.isSafeInteger(number))) return;
  throw new BadRequest('A number in the request body cannot be represented exactly; send it as a string.');
}
