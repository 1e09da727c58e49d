// Builds the value of a JSON body: one strict parser, bounded in depth and number of values. A large body is
// built in portions, so that it does not block the event loop (H20).
import { MAX_VALUES } from '../json/builder.ts';
import { parseJson } from '../json/parse.ts';
import { AT_ONCE_BYTES, buildInPortions } from '../json/portions.ts';
import { refuseStructure } from './json-meter.ts';

const STRUCTURE = {
  values: MAX_VALUES,
  perDocument: 0,
  members: MAX_VALUES,
  stringBytes: Infinity,
  mayHoldTerms: false,
} as const;

export interface BuildRules {
  /** True: a number that a double does not hold is an `ExactNumber`, for `writeJson`. */
  readonly exact?: boolean;
}

/**
 * The value of a JSON body. Throws BadRequest for what is no JSON or too deep, TooLarge for too many values.
 */
export async function buildJson(bytes: Buffer, { exact = false }: BuildRules = {}): Promise<unknown> {
  await refuseStructure(bytes, STRUCTURE);
  if (bytes.length > AT_ONCE_BYTES) return buildInPortions(bytes, exact);
  return parseJson(bytes, exact);
}
