// Builds the value of a JSON body: one strict parser, bounded in depth and number of values. A large body is
// built in portions, so that it does not block the event loop (H20).
import { MAX_VALUES } from '../json/builder.ts';
import { parseJson } from '../json/parse.ts';
import { AT_ONCE_BYTES, buildInPortions } from '../json/portions.ts';
import { refuseStructure } from './body-meter.ts';

const STRUCTURE = {
  values: MAX_VALUES,
  perDocument: 0,
  stringBytes: Infinity,
  mayHoldTerms: false,
} as const;

export interface BuildRules {
  /** True: a number that a double does not hold is an `ExactNumber`, for `writeJson`. */
  readonly exact?: boolean;
  /** Most members of one object. Listing them takes half a second for 250 000. */
  readonly members?: number;
}

/**
 * The value of a JSON body. Throws BadRequest for what is no JSON or too deep, TooLarge for too many values.
 */
export async function buildJson(
  bytes: Buffer,
  { exact = false, members = MAX_VALUES }: BuildRules = {},
): Promise<unknown> {
  await refuseStructure(bytes, { ...STRUCTURE, members });
  if (bytes.length > AT_ONCE_BYTES) return buildInPortions(bytes, exact);
  return parseJson(bytes, exact);
}
