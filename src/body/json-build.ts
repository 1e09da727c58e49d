// Builds the value of a JSON body: one strict parser, bounded in depth and number of values. A large body is
// built in portions, so that it does not block the event loop (H20).
import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BadRequest } from '../http-errors.ts';
import { JsonBuilder, MOST_VALUES } from '../json/builder.ts';
import { refuseStructure } from './json-meter.ts';
import { JsonScan } from '../json/scan.ts';
import { parseJson } from '../json/parse.ts';

/** JSON.parse stops every other request while it runs. */
const AT_ONCE_BYTES = 262_144;
const PORTION_BYTES = 65_536;
const STRUCTURE = {
  values: MOST_VALUES,
  perDocument: 0,
  members: MOST_VALUES,
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

/**
 * As `buildJson`, in portions whatever the size. Pinned to `parseJson` by test/property/built-json.test.ts.
 */
export async function buildInPortions(bytes: Buffer, exact: boolean): Promise<unknown> {
  if (!isUtf8(bytes)) throw new BadRequest('invalid UTF-8 JSON');
  const builder = new JsonBuilder(bytes, exact);
  const scan = new JsonScan(bytes, builder);
  while (scan.read(PORTION_BYTES)) await nextTurn();
  return builder.result;
}
