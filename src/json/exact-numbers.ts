// Keeps the value of numbers in JSON that is parsed and written again. CouchDB keeps integers of any size.
import { randomUUID } from 'node:crypto';
import { BadRequest } from '../http-errors.ts';
import { jsonPieces } from './pieces.ts';

/**
 * A number that JSON.parse would change. It is a function, so that no check for an object, a string or a
 * number accepts it: only a field that Couchgate does not interpret may hold one. A call returns its text.
 */
export type ExactNumber = () => string;

/** Begins the string that stands for an exact number while `writeJson` runs. Clients cannot know it. */
const MARK = `${randomUUID()}:`;
const MARKED = new RegExp(`"${MARK}([-+.0-9eE]+)"`, 'gu');

const DEEP_PIECE_LENGTH = 65_536;

/** True during `writeJson`. Other JSON, such as a line of the log, gets the nearest double. */
let isWriting = false;

const PROTOTYPE = Object.freeze({
  toJSON(this: ExactNumber): string | number {
    return isWriting ? MARK + this() : Number(this());
  },
});

/** Matches every JSON text with a number of 16 digits or more, or with an exponent. Others are exact. */
const MAY_BE_INEXACT = /[0-9.]{16}|[0-9][eE]/u;

/** False if JSON.parse keeps every number of the text. */
export function mayBeInexact(json: string): boolean {
  return MAY_BE_INEXACT.test(json);
}

/**
 * The value of a number in JSON. Throws BadRequest for a fraction beyond the range of a double, as CouchDB
 * does.
 */
export function numberIn(text: string): number | ExactNumber {
  const double = Number(text);
  const isInteger = !/[.eE]/u.test(text);
  if (!isInteger && !Number.isFinite(double)) throw new BadRequest('invalid UTF-8 JSON');
  const isExact = isInteger ? Number.isSafeInteger(double) : decimalOf(text) === decimalOf(String(double));
  return isExact ? double : (Object.setPrototypeOf(exactNumber(text), PROTOTYPE) as ExactNumber);
}

/**
 * A member of the name `toJSON` makes JSON.stringify call it, with the object as `this` and a key. That must
 * not change the object.
 */
function exactNumber(text: string): (key?: string) => unknown {
  return function (this: unknown, key) {
    return key === undefined ? text : this;
  };
}

/**
 * As JSON.stringify, but exact numbers are written as they were read, and values of any depth are written.
 */
export function writeJson(value: unknown): string {
  isWriting = true;
  try {
    const text = JSON.stringify(value);
    return text.includes(MARK) ? text.replace(MARKED, '$1') : text;
  } catch (error) {
    // JSON.stringify is recursive. CouchDB stores documents of any depth.
    if (!(error instanceof RangeError)) throw error;
  } finally {
    isWriting = false;
  }
  return [...jsonPieces(value, DEEP_PIECE_LENGTH)].join('');
}

/** Returns the same text for all spellings of one value. */
function decimalOf(number: string): string {
  const [mantissa = '', exponent = '0'] = number.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = (whole + fraction).replace(/^0+/u, '');
  const significant = withoutTrailingZeros(digits);
  if (significant === '') return '0';
  const power = Number(exponent) - fraction.length + digits.length - significant.length;
  return `${number.startsWith('-') ? '-' : ''}${significant}e${power}`;
}

/** A regular expression would need quadratic time for many zeros. */
function withoutTrailingZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === '0') end -= 1;
  return digits.slice(0, end);
}
