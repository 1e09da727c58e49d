// Refuses regular expressions in selectors that could block the process for minutes (ReDoS).
// PouchDB matches them in this process without a time limit.
import { BadRequest, HttpError } from '../http-errors.ts';
import { isObject } from './json.ts';

const MAX_LENGTH = 256;
const MAX_REPETITIONS = 3;

/**
 * Checks every `$regex` of a selector. Throws 400 for an invalid expression, 501 for one that may be slow.
 */
export function checkRegexes(selector: unknown): void {
  if (Array.isArray(selector)) for (const each of selector) checkRegexes(each);
  if (!isObject(selector)) return;
  for (const [name, value] of Object.entries(selector)) {
    if (name === '$regex') checkRegex(value);
    else checkRegexes(value);
  }
}

/** Backtracking is polynomial in the number of sequential repetitions and exponential for nested ones. */
function checkRegex(pattern: unknown): void {
  if (typeof pattern !== 'string') throw new BadRequest('Bad argument for operator $regex', 'bad_arg');
  try {
    new RegExp(pattern);
  } catch {
    throw new BadRequest('Bad argument for operator $regex', 'bad_arg');
  }
  const repetitions = pattern.match(/[*+{]/g)?.length ?? 0;
  const isSlow =
    pattern.length > MAX_LENGTH || repetitions > MAX_REPETITIONS || /\)[*+{?]|\\[1-9k]/.test(pattern);
  if (isSlow)
    throw new HttpError(
      501,
      'not_implemented',
      'The embedded node supports simple regular expressions only.',
    );
}
