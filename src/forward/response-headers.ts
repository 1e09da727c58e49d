// Decides which headers of CouchDB's answer the client gets: an allow-list, because design functions and
// attachments can set any others (H3, H8, H14).
import { type Context } from '../context.ts';
import { isNodeLocation, publicLocation } from './location.ts';

/** How a header is handled; headers without a rule are dropped. */
type Rule = 'pass' | 'location' | 'vary' | 'policy' | 'server' | 'drop';

const RULES = new Map<string, { readonly rule: Rule; readonly bit: number }>();

function rule(rule: Rule, names: readonly string[]): void {
  for (const name of names) {
    const entry = { rule, bit: 1 << (RULES.size / 2) };
    // CouchDB's spelling is a key too, so that most look-ups need no lower-casing.
    RULES.set(name, entry).set(name.toLowerCase(), entry);
  }
}

rule('pass', [
  'Accept-Ranges',
  'Allow',
  'Cache-Control',
  'Content-Disposition',
  'Content-Encoding',
  'Content-Language',
  'Content-Length',
  'Content-MD5',
  'Content-Range',
  'Content-Type',
  'ETag',
  'Expires',
  'Last-Modified',
  'Pragma',
  'Preference-Applied',
  'Retry-After',
  'X-Couch-Id',
  'X-Couch-Update-NewRev',
  'X-CouchDB-Body-Time',
]);
rule('location', ['Location']);
rule('vary', ['Vary']);
rule('policy', ['Content-Security-Policy']);
rule('server', ['Server']);
// Listed only so that the first look-up finds headers that every answer has.
rule('drop', ['Date', 'Transfer-Encoding', 'Connection', 'X-Couch-Request-ID']);

const CONTENT_TYPE = RULES.get('Content-Type');
const SANDBOX = 'sandbox';

/**
 * The bytes that a header value may have; a stored content type can contain control characters (H3).
 * RFC 9110 section 5.5.
 */
const VALID_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** The answer depends on the credentials, so a cache must not share it between clients (H14). */
const VARY = 'Authorization, Cookie';

export interface HeadOptions {
  /** The Host header that the node got; its Location headers name it. */
  readonly sentHost: string;
  /** Without a trailing slash; empty = Location becomes a path. */
  readonly publicUrl: string;
  /** True for CouchDB's own pages (Fauxton), which run scripts. Any other page is stored data. */
  readonly isCouchPage: boolean;
  /** True if the client gets CouchDB's Server header (setting `server_header`). */
  readonly serverHeader: boolean;
  /** True for a database whose pages may run scripts (setting `unsandboxed_databases`). */
  readonly isTrusted: boolean;
}

/**
 * Returns the head of the answer as alternating names and values. Of a repeated header the first counts. A
 * design function can add one before CouchDB's own, and can end the head early (H3). Therefore the CSP
 * sandbox against stored pages and scripts (H8) is always added here.
 * Headers in `context.answerHeaders` (CORS, request id, security headers) stay; Vary is joined.
 */
export function responseHead(
  status: number,
  rawHeaders: readonly string[],
  context: Context,
  { sentHost, publicUrl, isCouchPage, isTrusted, serverHeader }: HeadOptions,
): string[] {
  const head: string[] = [];
  let policy = '';
  let isInert = false;
  const before = context.answerHeader('Vary');
  let vary = before === undefined ? VARY : `${before}, ${VARY}`;
  let seen = 0;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    const entry = RULES.get(name) ?? RULES.get(name.toLowerCase());
    if (entry === undefined || entry.rule === 'drop' || (seen & entry.bit) !== 0 || !VALID_VALUE.test(value))
      continue;
    seen |= entry.bit;
    if (entry.rule === 'pass') {
      head.push(name, value);
      if (entry === CONTENT_TYPE) isInert = isInertType(value);
    } else if (entry.rule === 'policy') policy = value;
    else if (entry.rule === 'vary') vary = `${vary}, ${value}`;
    else if (entry.rule === 'server') {
      if (serverHeader) head.push(name, value);
    } else if (mayName(value, status, sentHost)) head.push(name, publicLocation(value, sentHost, publicUrl));
  }
  context.setAnswerHeader('Vary', vary);
  // CouchDB's own pages get Couchgate's policy (listen/security-headers): CouchDB's lacks frame-ancestors.
  if (isTrusted) {
    // CouchDB's own default; another policy is the operator's ([csp]) or the function's.
    if (policy !== '' && policy !== SANDBOX) head.push('Content-Security-Policy', policy);
  } else if (!isCouchPage && (!isInert || policy !== '')) {
    // All policies of a list apply (Content Security Policy Level 3, section 2.2).
    head.push(
      'Content-Security-Policy',
      policy === '' || policy === SANDBOX ? SANDBOX : `${SANDBOX}, ${policy}`,
    );
  }
  return head;
}

/**
 * CouchDB sends a Location with 200 for a document that it changed. A stored content type can bring one too
 * (H3), so with 200 it must lead to the node.
 */
function mayName(location: string, status: number, sentHost: string): boolean {
  if (status === 200) return isNodeLocation(location, sentHost);
  return status === 201 || status === 202 || (status >= 300 && status < 400);
}

/**
 * Types of CouchDB's own answers. Every answer has nosniff, so browsers do not treat these as another type.
 */
function isInertType(type: string): boolean {
  return type === 'application/json' || type === 'text/plain; charset=utf-8';
}

/** Headers that decide how an answer is handled; of a repeated one the first. */
export interface HeadFields {
  type: string | undefined;
  location: string | undefined;
  requestId: string | undefined;
  /** Content-Length, not parsed. */
  length: string | undefined;
}

/** Reads the deciding headers from Node's raw header list. */
export function readHeadFields(rawHeaders: readonly string[]): HeadFields {
  const fields: HeadFields = {
    type: undefined,
    location: undefined,
    requestId: undefined,
    length: undefined,
  };
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    // Comparing lengths first avoids most lower-casing.
    if (name.length === 12 && name.toLowerCase() === 'content-type') fields.type ??= rawHeaders[i + 1];
    else if (name.length === 14 && name.toLowerCase() === 'content-length')
      fields.length ??= rawHeaders[i + 1];
    else if (name.length === 8 && name.toLowerCase() === 'location') fields.location ??= rawHeaders[i + 1];
    else if (name.length === 18 && name.toLowerCase() === 'x-couch-request-id')
      fields.requestId ??= rawHeaders[i + 1];
  }
  return fields;
}
