// Chooses how a body is measured, after it was read or while it is streamed to CouchDB (H20).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type HttpError } from '../http-errors.ts';
import { type Endpoint } from '../catalogue/endpoint.ts';
import { SCAN_PORTION_BYTES } from '../json/portions.ts';
import { isEncoded } from './decode.ts';
import { FORM_LIMIT_BYTES, FormMeter, isForm } from './form-meter.ts';
import { DEEPEST } from '../json/builder.ts';
import { type BodyHolder, type BodyMeter, JsonMeter, type StructureLimits } from './json-meter.ts';
import { type BodyLimits, parsedLimit, structureLimits } from './limits.ts';
import { boundaryOf, multipartKind, MultipartMeter } from './multipart-meter.ts';
import { mayUnpackToTooMuch, UnpackedMeter } from './unpacked-meter.ts';
import { HeldValues, type ValueHolder } from './value-budget.ts';

/** A body of so few bytes exceeds no limit. */
const HARMLESS_BYTES = DEEPEST;

/** True if the number of its bytes proves that a body is not refused, so it is not measured. */
function isHarmless({ mayHoldTerms, readsIds }: StructureLimits, bytes: number): boolean {
  return bytes <= HARMLESS_BYTES && !mayHoldTerms && readsIds !== true;
}

/**
 * Throws what `JsonMeter` finds in a whole body. Reads in portions, so that the event loop is not blocked.
 */
export async function refuseStructure(
  body: Buffer,
  limits: StructureLimits | undefined,
  holder?: BodyHolder,
): Promise<void> {
  if (limits === undefined || isHarmless(limits, body.length)) return;
  const meter = new JsonMeter(limits, holder);
  for (let at = 0; at < body.length; at += SCAN_PORTION_BYTES) {
    if (at > 0) await nextTurn();
    const refusal = meter.add(body.subarray(at, at + SCAN_PORTION_BYTES));
    if (refusal !== undefined) throw refusal;
  }
}

/** Measures a body that CouchDB keeps as a whole, but does not parse: its bytes alone count. */
class TextMeter implements BodyMeter {
  readonly #held: HeldValues;

  constructor(holder: ValueHolder) {
    this.#held = new HeldValues(holder);
  }

  add(piece: Buffer): HttpError | undefined {
    return this.#held.add(piece, 0);
  }
}

/** The meter of a body that a function gets; undefined for another body. */
function functionMeter(
  endpoint: Pick<Endpoint, 'body'>,
  req: Pick<IncomingMessage, 'headers'>,
  holder: ValueHolder,
): FormMeter | TextMeter | undefined {
  if (isForm(endpoint, req)) return new FormMeter(holder);
  return endpoint.body === 'text' ? new TextMeter(holder) : undefined;
}

/** Throws why a body that was read, and that a function gets, is refused. */
export function refuseForFunction(
  body: Buffer,
  endpoint: Pick<Endpoint, 'body'>,
  req: Pick<IncomingMessage, 'headers'>,
  holder: ValueHolder,
): void {
  const refusal = functionMeter(endpoint, req, holder)?.add(body);
  if (refusal !== undefined) throw refusal;
}

interface MeteredBody {
  readonly endpoint: Endpoint;
  /** Empty, or begins with `?`. */
  readonly query: string;
  readonly length: string | undefined;
}

/**
 * Returns the meter; undefined if CouchDB neither keeps nor unpacks the body, or if its length alone proves
 * that it is harmless. Throws BadRequest for a multipart body without a clear boundary.
 */
export function bodyMeter(
  { endpoint, query, length }: MeteredBody,
  req: IncomingMessage,
  res: ServerResponse,
  caller: string,
  settings: BodyLimits & Pick<BodyHolder, 'valueBudget' | 'atoms'>,
): BodyMeter | undefined {
  const mayUnpack = mayUnpackToTooMuch(length);
  if (endpoint.body === 'attachment')
    return mayUnpack && isEncoded(req) ? new UnpackedMeter(caller) : undefined;
  const limits = structureLimits(endpoint, query, settings);
  const { valueBudget, atoms } = settings;
  const holder = { valueBudget, atoms, res, caller };
  if (limits === undefined) return functionMeter(endpoint, req, holder);
  if (length !== undefined && isHarmless(limits, Number(length))) return undefined;
  const kind = endpoint.body === 'document' ? multipartKind(req) : undefined;
  if (kind === undefined) return new JsonMeter(limits, holder);
  const boundary = boundaryOf(req.headers['content-type'] ?? '');
  const parsed = parsedLimit(endpoint, settings.maxJsonBody);
  const limitBytes = kind === 'form' ? Math.min(FORM_LIMIT_BYTES, parsed) : parsed;
  const unpacked = mayUnpack ? new UnpackedMeter(caller) : undefined;
  return new MultipartMeter({ kind, boundary, limitBytes, limits }, holder, unpacked);
}
