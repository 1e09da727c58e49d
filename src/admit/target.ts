// Parses the request target as CouchDB does, and refuses ambiguous targets (H7).
import { type RequestHandler } from 'express';
import { contextOf } from '../context.ts';
import { SERVED_SYSTEM_DATABASES } from '../catalogue/database-name.ts';
import { NOT_UTF8_ID } from '../catalogue/document-id.ts';
import { type Target } from '../catalogue/operation.ts';
import { BadRequest, TooLong } from '../http-errors.ts';
import { originForm } from './absolute-target.ts';
import { parseDestination } from './destination.ts';
import { isEscapeAt } from './percent-encoding.ts';

export interface TargetLimits {
  /** Longest target of a GET in bytes: path and query together. */
  readonly maxUrlBytes: number;
}

export interface TargetRules extends TargetLimits {
  /** Origin under which clients reach Couchgate; an absolute target may name it. */
  readonly publicUrl: string;
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
 * become two segments. After the name of a database, `.` and `..` are names, and NUL is a character, because
 * ids and attachments can have such names. `path` is encoded again from the segments.
 * Throws BadRequest for ambiguous targets: no leading slash, `#`, control or non-ASCII bytes, bad escapes,
 * invalid UTF-8, and `.`, `..` or NUL outside a database. Throws TooLong above the limit. Only the bytes of
 * the query are checked; it is forwarded unchanged.
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

/** True if no segment must be dropped or escaped. The raw path then equals the canonical path. */
function isCanonical(parts: readonly string[]): boolean {
  for (const part of parts) if (part === '' || isDots(part)) return false;
  return true;
}

function readSegments(parts: readonly string[], escaped: boolean): readonly string[] {
  const segments: string[] = [];
  for (const part of parts) {
    if (part === '') continue;
    const segment = escaped ? decoded(part, namesDocument(segments)) : part;
    if (!isInDatabase(segments)) {
      refuseOutsideDatabase(segment);
      segments.push(segment);
    } else if (segments.length === 1 && segment.charCodeAt(0) === UNDERSCORE) {
      pushDocumentId(segments, segment);
    } else {
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
  if (name === '' && segment === '_local/') throw new BadRequest('Invalid _local document id.');
  if (name === '') throw new BadRequest(`Illegal document id \`${segment}\``, 'illegal_docid');
  segments.push(segment.slice(0, slash), name);
}

/** True if the next segment follows the name of a database. */
function isInDatabase(segments: readonly string[]): boolean {
  const [first] = segments;
  if (first === undefined) return false;
  return first.charCodeAt(0) !== UNDERSCORE || SERVED_SYSTEM_DATABASES.has(first);
}

/** True if the next segment is a document id, or the part of one after `_design/` or `_local/`. */
function namesDocument(segments: readonly string[]): boolean {
  if (!isInDatabase(segments)) return false;
  return (
    segments.length === 1 ||
    (segments.length === 2 && (segments[1] === '_design' || segments[1] === '_local'))
  );
}

/** Decodes a segment once. `+` is a space in CouchDB's paths. */
function decoded(part: string, isId: boolean): string {
  const spaced = part.includes('+') ? part.replaceAll('+', ' ') : part;
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    if (!isEscaped(part)) throw new BadRequest('invalid_url_encoding');
    if (isId) throw new BadRequest(NOT_UTF8_ID, 'illegal_docid');
    throw new BadRequest('The request target is not valid percent-encoded UTF-8.');
  }
}

/** True if every percent sign begins an escape. */
function isEscaped(part: string): boolean {
  for (let at = part.indexOf('%'); at !== -1; at = part.indexOf('%', at + 1)) {
    if (!isEscapeAt(part, at)) return false;
  }
  return true;
}

/**
 * Outside a database no name is `.` or `..` or holds NUL. Other parsers would normalise the path, and reach
 * another database, or end the string at NUL.
 */
function refuseOutsideDatabase(segment: string): void {
  if (isDots(segment)) throw new BadRequest('The request target contains a dot segment.');
  if (segment.includes('\0')) throw new BadRequest('The request target contains a NUL.');
}

function isDots(segment: string): boolean {
  return segment.charCodeAt(0) === DOT && (segment === '.' || segment === '..');
}

/**
 * Encodes the canonical path, which is sent to CouchDB. A folder of `/_utils` keeps its last slash: without
 * it, CouchDB redirects to a path without `_utils` (mochiweb_request.erl, maybe_redirect).
 */
function pathOf(segments: readonly string[], parts: readonly string[]): string {
  let path = '';
  for (const segment of segments) path += `/${encodedSegment(segment)}`;
  if (segments[0] === '_utils' && parts.at(-1) === '') path += '/';
  return path === '' ? '/' : path;
}

/** `.` and `..` are escaped, so that no program on the way normalises them as dot segments. */
function encodedSegment(segment: string): string {
  if (isDots(segment)) return segment === '.' ? '%2E' : '%2E%2E';
  return encodeURIComponent(segment);
}

/**
 * Makes the step that writes `context.target` and, for a COPY that has one, `context.destination`: whether it
 * needs one depends on the path. The limit is that of CouchDB's request line, so a method that is longer than
 * GET leaves less for the target.
 */
export function readTarget(rules: TargetRules): RequestHandler {
  const { maxUrlBytes } = rules;
  return function readTargetStep(req, _res, next) {
    const context = contextOf(req);
    const { url } = req;
    const target = parseTarget(
      url.charCodeAt(0) === SLASH ? url : originForm(req, url, rules.publicUrl),
      rules,
    );
    if (req.method.length - 3 + target.path.length + target.query.length > maxUrlBytes) throw new TooLong();
    context.target = target;
    const destination = req.headers['destination'];
    if (req.method === 'COPY' && destination !== undefined)
      context.destination = parseDestination(destination);
    next();
  };
}
