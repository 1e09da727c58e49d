// Decides whether CouchDB may hold the whole answer to a request in memory (H15).
import { type BodyKind } from '../catalogue/endpoint.ts';
import { BadRequest } from '../http-errors.ts';

/**
 * All leaves of a document, or attachments in JSON: `atts_since` implies `attachments`, also with an empty
 * list (chttpd_db.erl, db_doc_req). `_changes` ignores the case of names. CouchDB ends a parameter at a
 * semicolon too.
 */
const NAMED = /open_revs|atts_since|attachments(?!=false(?:[&;]|$))/i;
const ESCAPE = /%([0-9a-f]{2})/gi;

/**
 * In a body, JSON may escape the letters of a name (couch_mrview_http.erl, parse_body_and_query). Text that
 * is no name counts too.
 */
const NAME = 'attachments';
const ESCAPED_LETTER = /\\u00[67]/;

/** chttpd.erl, buffer_response: the answer is sent when it is complete, however long it is. */
const BUFFERED = /[?&;]buffer_response=true/;
const NOT_BUFFERED = new BadRequest('The parameter buffer_response is not supported.');

/** True if the query names such an answer. `query` is empty or begins with `?`. */
export function namesWholeAnswer(query: string): boolean {
  return query !== '' && NAMED.test(unescaped(query));
}

/**
 * Refuses a request for which CouchDB would collect the answer in memory: one of `_all_docs` or `_changes`
 * has no limit. Throws BadRequest. Pinned by test/hostile/h15-whole-answers.test.ts.
 */
export function refuseBuffered(query: string): void {
  if (query !== '' && BUFFERED.test(unescaped(query))) throw NOT_BUFFERED;
}

function unescaped(query: string): string {
  return query.includes('%') ? query.replace(ESCAPE, characterOf) : query;
}

function characterOf(_escape: string, code: string): string {
  return String.fromCharCode(parseInt(code, 16));
}

/** The body of a request: a stream, none, or bytes in memory. */
interface SentBody {
  readonly kind: 'none' | 'bytes' | 'stream';
  readonly bytes?: Buffer;
}

/**
 * True if the answer may be held in memory as a whole. `kind` = what the endpoint does with a body. A body
 * that is still a stream belongs to a write, whose answer is short: authorize reads the bodies of such reads
 * first, so that a slow one holds no place among the few.
 */
export function mayBeWhole(kind: BodyKind, query: string, { kind: form, bytes }: SentBody): boolean {
  if (kind === 'bulk-get') return true;
  if (form === 'stream') return kind === 'rows';
  return namesWholeAnswer(query) || (kind === 'rows' && bytes !== undefined && namesAttachments(bytes));
}

function namesAttachments(body: Buffer): boolean {
  return body.includes(NAME) || (body.includes('\\u00') && ESCAPED_LETTER.test(body.toString('latin1')));
}
