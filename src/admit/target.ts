// The one reading of a request's target, as CouchDB reads it (H7). What has two readings is refused here; what it asks for is classify's business.
import { type RequestHandler } from 'express';
import { contextOf } from '../context.ts';
import { type Target } from '../catalogue/operation.ts';
import { BadRequest, TooLong } from '../http-errors.ts';
import { parseDestination } from './destination.ts';

export interface TargetLimits {
  /** Longest request target, path and query together. */
  readonly maxUrlBytes: number;
}

// What the bytes of a target mean, as bits. A byte that means nothing is refused: control bytes, space, non-ASCII, and `#`, where CouchDB
// cuts the path and others do not.
const PLAIN = 1;
const ENCODED_WHEN_SENT = 2;
const ESCAPE = 4;

const MEANING = new Uint8Array(256);
for (let code = 0x21; code < 0x7f; code++) {
  const character = String.fromCharCode(code);
  MEANING[code] = encodeURIComponent(character) === character ? PLAIN : ENCODED_WHEN_SENT;
}
for (const character of '/?') MEANING[character.charCodeAt(0)] = PLAIN;
for (const character of '%+') MEANING[character.charCodeAt(0)] = ESCAPE;
MEANING['#'.charCodeAt(0)] = 0;

const SLASH = 47;
const DOT = 46;
const UNDERSCORE = 95;

/**
 * Reads the raw target as CouchDB does: cut at the first `?`, split at `/`, empty segments dropped, each decoded once with `+` as a
 * space (chttpd.erl, handle_request_int), `_design%2Fx` and `_local%2Fx` taken as two segments. `path` is made anew from the segments.
 * Throws BadRequest for what could be read in two ways: no leading slash, a scheme, `#`, control or non-ASCII bytes, bad escapes,
 * invalid UTF-8, NUL, `.` and `..` segments; TooLong past the limit. The query is only looked at for its bytes and goes on as it came.
 */
export function parseTarget(raw: string, limits: TargetLimits): Target {
  if (raw.length > limits.maxUrlBytes) throw new TooLong();
  if (raw.charCodeAt(0) !== SLASH) throw new BadRequest('The request target must begin with a slash.');
  const mark = raw.indexOf('?');
  const end = mark === -1 ? raw.length : mark;
  const seen = meaningOf(raw, 0, end);
  if (mark !== -1) meaningOf(raw, mark, raw.length);
  const query = mark === -1 ? '' : raw.slice(mark);
  const parts = raw.slice(1, end).split('/');
  const asSent = seen === PLAIN && isCanonical(parts);
  const segments = asSent ? parts : readSegments(parts, (seen & ESCAPE) !== 0);
  return { segments, path: asSent ? raw.slice(0, end) : pathOf(segments, parts), query };
}

/** All meanings between two places as one number; throws for a byte without one. */
function meaningOf(raw: string, from: number, to: number): number {
  let seen = 0;
  for (let i = from; i < to; i++) {
    const meaning = MEANING[raw.charCodeAt(i)];
    if (meaning === undefined || meaning === 0) {
      throw new BadRequest('The request target holds a byte that must be percent-encoded.');
    }
    seen |= meaning;
  }
  return seen;
}

/** True when nothing has to be dropped: then the path is already the spelling that would be made of its segments. */
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

/** CouchDB takes `_design%2Fx` and `_local%2Fx` as the ids that `_design/x` and `_local/x` are; one spelling is enough. */
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

/** Decodes once. `+` is a space in CouchDB's paths; NUL ends strings elsewhere, so it is no part of a name. */
function decoded(part: string): string {
  const spaced = part.includes('+') ? part.replaceAll('+', ' ') : part;
  if (!spaced.includes('%')) return spaced;
  let text: string;
  try {
    text = decodeURIComponent(spaced);
  } catch {
    throw new BadRequest('The request target is not valid percent-encoded UTF-8.', 'invalid_url_encoding');
  }
  if (text.includes('\0')) throw new BadRequest('The request target holds a NUL.');
  return text;
}

/** `.` and `..` are names to CouchDB and steps to everything that normalises a path. */
function refuseDots(segment: string): void {
  if (segment.charCodeAt(0) !== DOT) return;
  if (segment === '.' || segment === '..') throw new BadRequest('The request target holds a dot segment.');
}

/** The only spelling that is ever sent. `/_utils/` keeps its last slash: CouchDB redirects there when it is missing. */
function pathOf(segments: readonly string[], parts: readonly string[]): string {
  if (segments.length === 1 && segments[0] === '_utils' && parts.at(-1) === '') return '/_utils/';
  let path = '';
  for (const segment of segments) path += `/${encodeURIComponent(segment)}`;
  return path === '' ? '/' : path;
}

/** Writes `context.target` and, for COPY, `context.destination`. */
export function readTarget(limits: TargetLimits): RequestHandler {
  return function readTargetStep(req, _res, next) {
    const context = contextOf(req);
    context.target = parseTarget(req.url, limits);
    if (req.method === 'COPY') context.destination = parseDestination(req.headers['destination']);
    next();
  };
}
