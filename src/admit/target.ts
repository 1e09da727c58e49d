// Parses the request target as CouchDB does, and refuses ambiguous targets (H7).
import { type RequestHandler } from 'express';
import { contextOf } from '../context.ts';
import { type Target } from '../catalogue/operation.ts';
import { BadRequest, TooLong } from '../http-errors.ts';
import { parseDestination } from './destination.ts';

export interface TargetLimits {
  /** Longest request target in bytes: path and query together. */
  readonly maxUrlBytes: number;
}

// Classes of bytes in a target, as bits. A byte without a class is refused: control bytes, space, non-ASCII,
// and `#`, where CouchDB cuts the path and other parsers do not.
const PLAIN = 1;
const NEEDS_ENCODING = 2;
const ESCAPE = 4;

const BYTE_CLASS = new Uint8Array(256);
for (let code = 0x21; code < 0x7f; code++) {
  const character = String.fromCharCode(code);
  BYTE_CLASS[code] = encodeURIComponent(character) === character ? PLAIN : NEEDS_ENCODING;
}
for (const character of '/?') BYTE_CLASS[character.charCodeAt(0)] = PLAIN;
for (const character of '%+') BYTE_CLASS[character.charCodeAt(0)] = ESCAPE;
BYTE_CLASS['#'.charCodeAt(0)] = 0;

const SLASH = 47;
const DOT = 46;
const UNDERSCORE = 95;

/**
 * Parses the raw target as CouchDB does (chttpd.erl, handle_request_int). It cuts at the first `?`, splits at
 * `/`, drops empty segments, and decodes each once, with `+` as a space. `_design%2Fx` and `_local%2Fx`
 * become two segments. `path` is encoded again from the segments.
 * Throws BadRequest for ambiguous targets: no leading slash, a scheme, `#`, control or non-ASCII bytes, bad
 * escapes, invalid UTF-8, NUL, `.` and `..` segments. Throws TooLong above the limit. Only the bytes of the
 * query are checked; it is forwarded unchanged.
 */
export function parseTarget(raw: string, limits: TargetLimits): Target {
  if (raw.length > limits.maxUrlBytes) throw new TooLong();
  if (raw.charCodeAt(0) !== SLASH) throw new BadRequest('The request target must begin with a slash.');
  const queryAt = raw.indexOf('?');
  const end = queryAt === -1 ? raw.length : queryAt;
  const classes = classesOf(raw, 0, end);
  if (queryAt !== -1) classesOf(raw, queryAt, raw.length);
  const query = queryAt === -1 ? '' : raw.slice(queryAt);
  const parts = raw.slice(1, end).split('/');
  const isCanonicalPath = classes === PLAIN && isCanonical(parts);
  const segments = isCanonicalPath ? parts : readSegments(parts, (classes & ESCAPE) !== 0);
  return { segments, path: isCanonicalPath ? raw.slice(0, end) : pathOf(segments, parts), query };
}

/** Returns the classes of all bytes in a range; throws for a byte without a class. */
function classesOf(raw: string, from: number, to: number): number {
  let classes = 0;
  for (let i = from; i < to; i++) {
    const byteClass = BYTE_CLASS[raw.charCodeAt(i)];
    if (byteClass === undefined || byteClass === 0) {
      throw new BadRequest('The request target contains a byte that must be percent-encoded.');
    }
    classes |= byteClass;
  }
  return classes;
}

/** True if no segment must be dropped. The raw path then equals the canonical path. */
function isCanonical(parts: readonly string[]): boolean {
  for (const part of parts) {
    if (part === '') return false;
    refuseDots(part);
  }
  return true;
}

function readSegments(parts: readonly string[], escaped: boolean): readonly string[] {
  const segments: string[] = [];
  for (const part of parts) {
    if (part === '') continue;
    const segment = escaped ? decoded(part) : part;
    if (segments.length === 1 && segment.charCodeAt(0) === UNDERSCORE && isInDatabase(segments[0] ?? '')) {
      pushDocumentId(segments, segment);
    } else {
      refuseDots(segment);
      segments.push(segment);
    }
  }
  return segments;
}

/**
 * Splits `_design%2Fx` and `_local%2Fx`: CouchDB treats them as `_design/x` and `_local/x`, and later steps
 * must see one spelling.
 */
function pushDocumentId(segments: string[], segment: string): void {
  const slash = segment.startsWith('_design/') || segment.startsWith('_local/') ? segment.indexOf('/') : -1;
  if (slash === -1) {
    segments.push(segment);
    return;
  }
  const name = segment.slice(slash + 1);
  if (name === '') throw new BadRequest(`Illegal document id \`${segment}\``, 'illegal_docid');
  refuseDots(name);
  segments.push(segment.slice(0, slash), name);
}

function isInDatabase(first: string): boolean {
  return first.charCodeAt(0) !== UNDERSCORE || first === '_users' || first === '_replicator';
}

/**
 * Decodes a segment once. `+` is a space in CouchDB's paths. NUL is refused, because other parsers end
 * strings at it.
 */
function decoded(part: string): string {
  const spaced = part.includes('+') ? part.replaceAll('+', ' ') : part;
  if (!spaced.includes('%')) return spaced;
  let text: string;
  try {
    text = decodeURIComponent(spaced);
  } catch {
    throw new BadRequest('The request target is not valid percent-encoded UTF-8.', 'invalid_url_encoding');
  }
  if (text.includes('\0')) throw new BadRequest('The request target contains a NUL.');
  return text;
}

/** Refuses `.` and `..`: CouchDB treats them as names, but other parsers normalise the path. */
function refuseDots(segment: string): void {
  if (segment.charCodeAt(0) !== DOT) return;
  if (segment === '.' || segment === '..') throw new BadRequest('The request target contains a dot segment.');
}

/**
 * Encodes the canonical path, which is sent to CouchDB. `/_utils/` keeps its last slash, because CouchDB
 * redirects `/_utils` there.
 */
function pathOf(segments: readonly string[], parts: readonly string[]): string {
  if (segments.length === 1 && segments[0] === '_utils' && parts.at(-1) === '') return '/_utils/';
  let path = '';
  for (const segment of segments) path += `/${encodeURIComponent(segment)}`;
  return path === '' ? '/' : path;
}

/** Makes the step that writes `context.target` and, for COPY, `context.destination`. */
export function readTarget(limits: TargetLimits): RequestHandler {
  return function readTargetStep(req, _res, next) {
    const context = contextOf(req);
    context.target = parseTarget(req.url, limits);
    if (req.method === 'COPY') context.destination = parseDestination(req.headers['destination']);
    next();
  };
}
