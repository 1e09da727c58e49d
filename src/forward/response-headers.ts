// Decides which headers of CouchDB's answer the client gets: an allow-list, because design functions and attachments can put any others there (H3, H8, H14).
import { type Context } from '../context.ts';
import { publicLocation } from './location.ts';

/** What is done with a header by its name; names that are not here are dropped. */
type Rule = 'pass' | 'location' | 'vary' | 'policy' | 'drop';

const RULES = new Map<string, { readonly rule: Rule; readonly bit: number }>();

function rule(rule: Rule, names: readonly string[]): void {
  for (const name of names) {
    const entry = { rule, bit: 1 << (RULES.size / 2) };
    // CouchDB's spelling is found at the first try.
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
// Named only so that what every answer carries is found at the first try as well.
rule('drop', ['Server', 'Date', 'Transfer-Encoding', 'Connection', 'X-Couch-Request-ID']);

const TYPE = RULES.get('Content-Type');
const SANDBOX = 'sandbox';

/** What may stand in a value: a stored content type can bring control characters along (H3). RFC 9110 section 5.5. */
const CLEAN = /^[\t\x20-\x7e\x80-\xff]*$/;

/** What the same address shows depends on who asks, so a cache must not hand one client's answer to another (H14). */
const VARY = 'Authorization, Cookie';

export interface HeadFrame {
  /** Of the node, as its Location headers name it. */
  readonly nodeHost: string;
  /** Without a slash at its end; empty = Location becomes a path. */
  readonly publicUrl: string;
  /** True for CouchDB's own pages (Fauxton), which run scripts; whatever else a browser could take for a page is somebody's document. */
  readonly ownPage: boolean;
}

/**
 * Head of the answer as name and value in turn. Of a repeated header the first counts, though the author of a design function can put
 * one before CouchDB's own, and end the head there (H3). So the sandbox that keeps stored pages and scripts from acting as who opens them
 * (H8) is always sent from here.
 * What the steps before have set on `res` (CORS, request id, security headers) stays; Vary is joined.
 */
export function responseHead(
  status: number,
  rawHeaders: readonly string[],
  context: Context,
  { nodeHost, publicUrl, ownPage }: HeadFrame,
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
    if (entry === undefined || entry.rule === 'drop' || (seen & entry.bit) !== 0 || !CLEAN.test(value))
      continue;
    seen |= entry.bit;
    if (entry.rule === 'pass') {
      head.push(name, value);
      if (entry === TYPE) isInert = runsNoScript(value);
    } else if (entry.rule === 'policy') policy = value;
    else if (entry.rule === 'vary') vary = `${vary}, ${value}`;
    else if (status === 201 || status === 202 || (status >= 300 && status < 400))
      head.push(name, publicLocation(value, nodeHost, publicUrl));
  }
  context.setAnswerHeader('Vary', vary);
  // The policy of CouchDB's own pages is Couchgate's (listen/security-headers): CouchDB's lacks frame-ancestors.
  if (!ownPage && (!isInert || policy !== '')) {
    // Each policy of a list is in force (Content Security Policy Level 3, section 2.2).
    head.push(
      'Content-Security-Policy',
      policy === '' || policy === SANDBOX ? SANDBOX : `${SANDBOX}, ${policy}`,
    );
  }
  return head;
}

/** What CouchDB answers with by itself; every answer says nosniff, so no browser takes it for anything else. */
function runsNoScript(type: string): boolean {
  return type === 'application/json' || type === 'text/plain; charset=utf-8';
}

/** The headers of an answer by which it is judged; of a repeated one the first. */
export interface HeadFacts {
  type: string | undefined;
  location: string | undefined;
  requestId: string | undefined;
  /** Content-Length as it was written. */
  length: string | undefined;
}

export function factsOf(rawHeaders: readonly string[]): HeadFacts {
  const facts: HeadFacts = { type: undefined, location: undefined, requestId: undefined, length: undefined };
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    // The length tells most names apart, and costs nothing.
    if (name.length === 12 && name.toLowerCase() === 'content-type') facts.type ??= rawHeaders[i + 1];
    else if (name.length === 14 && name.toLowerCase() === 'content-length')
      facts.length ??= rawHeaders[i + 1];
    else if (name.length === 8 && name.toLowerCase() === 'location') facts.location ??= rawHeaders[i + 1];
    else if (name.length === 18 && name.toLowerCase() === 'x-couch-request-id')
      facts.requestId ??= rawHeaders[i + 1];
  }
  return facts;
}
