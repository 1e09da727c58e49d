// Parses the body of `POST /_api/v2/explain`: a request, and who would send it.
import { METHODS } from 'node:http';
import { type JsonObject } from '../json/object.ts';
import { normalizeAddress } from '../config/address-set.ts';
import { BadRequest } from '../http-errors.ts';
import { writeJson } from '../json/exact-numbers.ts';

/** Who would send the request. `key` = a name that must be a key's. */
export type AskedName =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'principal'; readonly name: string }
  | { readonly kind: 'key'; readonly name: string };

export interface ExplainQuestion {
  readonly sender: AskedName;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer | undefined;
  readonly address: string | undefined;
}

const FIELDS = new Set(['principal', 'key', 'nobody', 'method', 'path', 'headers', 'body', 'address']);
const MAX_HEADERS = 100;
const MAX_NAME_LENGTH = 4096;
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What Node's parser accepts in a value. */

const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** A question must not carry a secret, and the principal is named instead. */
const CREDENTIALS = new Set(['authorization', 'cookie', 'proxy-authorization']);

/** Parses the question. Throws 400 that names the field. */
export function parseExplainQuestion(question: JsonObject): ExplainQuestion {
  const unknown = Object.keys(question).find((field) => !FIELDS.has(field));
  if (unknown !== undefined)
    throw new BadRequest(`Unknown field ${JSON.stringify(unknown)}; allowed: ${[...FIELDS].join(', ')}`);
  const { method, path, body } = question;
  // Node's parser accepts no others, so that no request has another.
  if (typeof method !== 'string' || !METHODS.includes(method))
    throw new BadRequest('`method` must be a method of HTTP in capitals');
  if (typeof path !== 'string' || path === '') throw new BadRequest('`path` must be the target of a request');
  const given = parseBody(body);
  const headers = withBodyHeaders(parseHeaders(question['headers']), given, typeof body !== 'string');
  const address = parseAddress(question['address']);
  return { sender: parseSender(question), method, path, headers, body: given, address };
}

function parseSender({ principal, key, nobody }: JsonObject): AskedName {
  if ([principal, key, nobody].filter((value) => value !== undefined).length !== 1)
    throw new BadRequest('Name one of `principal`, `key` and `nobody`');
  if (nobody === true || principal === 'nobody') return { kind: 'nobody' };
  const name = principal ?? key;
  if (typeof name !== 'string' || name === '' || name.length > MAX_NAME_LENGTH)
    throw new BadRequest('`principal` and `key` must be names, `nobody` must be true');
  return { kind: principal === undefined ? 'key' : 'principal', name };
}

function parseAddress(address: unknown): string | undefined {
  if (address === undefined) return undefined;
  const normal = typeof address === 'string' ? normalizeAddress(address) : undefined;
  if (normal === undefined) throw new BadRequest('`address` must be an IP address');
  return normal;
}

/** A text is the body as it is; every other value is written as JSON. */
function parseBody(body: unknown): Buffer | undefined {
  if (body === undefined) return undefined;
  return Buffer.from(typeof body === 'string' ? body : writeJson(body));
}

function parseHeaders(headers: unknown): ExplainQuestion['headers'] {
  if (headers === undefined) return [];
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers))
    throw new BadRequest('`headers` must be an object of names and values');
  const pairs = Object.entries(headers as JsonObject).flatMap(([name, value]) =>
    (Array.isArray(value) ? (value as readonly unknown[]) : [value]).map((one) => [name, one] as const),
  );
  if (pairs.length > MAX_HEADERS) throw new BadRequest(`\`headers\` must have at most ${MAX_HEADERS} values`);
  return pairs.map(([name, value]) => {
    if (!TOKEN.test(name) || typeof value !== 'string' || !VALUE.test(value))
      throw new BadRequest(`${JSON.stringify(name)} in \`headers\` is not a header that a request can have`);
    if (CREDENTIALS.has(name.toLowerCase()))
      throw new BadRequest(`\`headers\` must not have ${name}: the question names the principal`);
    return [name, value.trim()];
  });
}

/** A client announces its body. */
function withBodyHeaders(
  headers: ExplainQuestion['headers'],
  body: Buffer | undefined,
  isJson: boolean,
): ExplainQuestion['headers'] {
  if (body === undefined) return headers;
  const names = new Set(headers.map(([name]) => name.toLowerCase()));
  const isFramed = names.has('content-length') || names.has('transfer-encoding');
  return [
    ...headers,
    ...(isFramed ? [] : ([['Content-Length', String(body.length)]] as const)),
    ...(isJson && !names.has('content-type') ? ([['Content-Type', 'application/json']] as const) : []),
  ];
}
