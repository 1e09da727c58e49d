// Reads JSON that will be written again: refuses numbers that would not come out as they went in. Strictness otherwise is read-body.ts's.
import { BadRequest } from '../http-errors.ts';
import { parseJson } from './read-body.ts';

/** A text, or a number: what can hold digits in valid JSON. */
const TEXT_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/gsu;

/** The value of a JSON body. Throws BadRequest for what is no JSON, and for numbers that a double does not hold. */
export function parseExactJson(bytes: Buffer): unknown {
  const value = parseJson(bytes);
  for (const [token] of bytes.toString('utf8').matchAll(TEXT_OR_NUMBER)) {
    if (token.startsWith('"')) continue;
    const number = Number(token);
    const isInteger = !/[.eE]/u.test(token);
    if (!Number.isFinite(number) || (isInteger && !Number.isSafeInteger(number))) {
      throw new BadRequest(
        'A number in the request body is too large to be kept exactly; send it as a string.',
      );
    }
  }
  return value;
}
