// Chooses how a body is measured while it is streamed to CouchDB (H20).
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Endpoint } from '../catalogue/endpoint.ts';
import { type BodyHolder, type BodyMeter, HARMLESS_BYTES, JsonMeter } from './json-meter.ts';
import { type BodyLimits, parsedLimit, structureLimits } from './limits.ts';
import { boundaryOf, multipartKind, MultipartMeter } from './multipart-meter.ts';

/**
 * Returns the meter; undefined if CouchDB does not parse the body, or if its length alone proves that it is
 * harmless. Throws BadRequest for a multipart body without a clear boundary.
 */
export function bodyMeter(
  { endpoint, length }: { readonly endpoint: Endpoint; readonly length: string | undefined },
  req: IncomingMessage,
  res: ServerResponse,
  caller: string,
  settings: BodyLimits & Pick<BodyHolder, 'valueBudget'>,
): BodyMeter | undefined {
  const limits = structureLimits(endpoint, settings);
  if (limits === undefined) return undefined;
  if (!limits.mayHoldTerms && length !== undefined && Number(length) <= HARMLESS_BYTES) return undefined;
  const holder = { valueBudget: settings.valueBudget, res, caller };
  const kind = endpoint.body === 'document' ? multipartKind(req) : undefined;
  if (kind === undefined) return new JsonMeter(limits, holder);
  const boundary = boundaryOf(req.headers['content-type'] ?? '');
  const limitBytes = parsedLimit(endpoint, settings.maxJsonBody);
  return new MultipartMeter({ kind, boundary, limitBytes, limits }, holder);
}
