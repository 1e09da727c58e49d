// Evaluates If-None-Match as CouchDB does (couch_httpd:etag_match).
import { type IncomingMessage } from 'node:http';

/**
 * True if If-None-Match lists this tag, also as a weak one. CouchDB treats `*` like any other tag.
 */
export function isNotModified(req: IncomingMessage, tag: string): boolean {
  const listed = req.headers['if-none-match']?.split(',') ?? [];
  return listed.some((each) => each.trim().replace(/^W\//u, '') === tag);
}
