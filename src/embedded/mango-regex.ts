// Refuses regular expressions that could hold the process for minutes: PouchDB matches them without a time limit.
import { BadRequest, HttpError } from '../http-errors.ts';
import { isObject } from './json.ts';

const MAX_LENGTH = 256;
const MAX_REPETITIONS = 3;

/** Walks a selector; throws 400 for a `$regex` that is none and 501 for one that may take too long. */
export function checkRegexes(selector: unknown): void {
  if (Array.isArray(selector)) for (const each of selector) checkRegexes(each);
  if (!isObject(selector)) return;
  for (const [name, value] of Object.entries(selector)) {
    if (name === '$regex') checkRegex(value);
    else checkRegexes(value);
  }
}

/** Matching time grows with a power of the repetitions that follow one another, and exponentially with nested ones. */
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
    throw new HttpError(501, 'not_implemented', 'The embedded node does simple regular expressions only.');
}
