// Parses JSON strictly, as CouchDB's parser does.
import { BadRequest } from '../http-errors.ts';
import { ANSWER_LIMITS, BODY_LIMITS, JsonBuilder, type JsonLimits } from './builder.ts';
import { mayBeInexact } from './exact-numbers.ts';
import { JsonScan } from './scan.ts';

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses JSON. Throws BadRequest for invalid UTF-8, invalid JSON, and a lone surrogate, which CouchDB refuses
 * too: it cannot be written back as UTF-8. With `exact`, a number that a double does not hold is an
 * `ExactNumber`. `limits` are kept where JSON.parse cannot do the work.
 */
export function parseJson(bytes: Buffer, exact = false, limits: JsonLimits = BODY_LIMITS): unknown {
  let text;
  try {
    text = strictUtf8.decode(bytes);
    const needsBuilder = /\\u[dD][89a-fA-F]/.test(text) || (exact && mayBeInexact(text));
    if (!needsBuilder) return JSON.parse(text);
  } catch {
    throw new BadRequest('invalid UTF-8 JSON');
  }
  const builder = new JsonBuilder(bytes, exact, limits);
  new JsonScan(bytes, builder, limits.depth).read(bytes.length);
  return builder.result;
}

/**
 * Parses what CouchDB has stored, as `parseJson` does: of any depth and size, and every number keeps its
 * value.
 */
export function parseStored(bytes: Buffer): unknown {
  return parseJson(bytes, true, ANSWER_LIMITS);
}
