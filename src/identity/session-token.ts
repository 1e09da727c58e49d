// Makes and reads session tokens: signed by Couchgate, bound to one credential. Whether the session was ended is session-store.ts's business,
// how the token travels session-cookie.ts's.
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';

export type SessionKind = 'key' | 'user' | 'owner';

export interface Session {
  readonly kind: SessionKind;
  readonly name: string;
  /** Stays the same over renewals: what DELETE /_session ends. */
  readonly id: string;
  /** Names the credential that was shown; the session is over when it is no longer good. Empty = cannot be named, so it is not renewed. */
  readonly version: string;
  /** Milliseconds since 1970, in whole seconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** `void` = not ours, altered, or over: CouchDB takes such a cookie for none. `malformed` = no cookie that CouchDB or Couchgate ever made. */
export type ReadToken =
  | { readonly outcome: 'valid'; readonly session: Session }
  | { readonly outcome: 'void' }
  | { readonly outcome: 'malformed' };

export interface SessionTokens {
  sign(session: Session): string;
  read(token: string): ReadToken;
}

const VOID: ReadToken = Object.freeze({ outcome: 'void' });
const MALFORMED: ReadToken = Object.freeze({ outcome: 'malformed' });
const KINDS: Readonly<Record<SessionKind, string>> = { key: 'k', user: 'u', owner: 'o' };
const KIND_OF: Readonly<Record<string, SessionKind>> = { k: 'key', u: 'user', o: 'owner' };
/** Longer ones are not even looked at. */
const MAX_LENGTH = 4096;

/** Tokens signed with `secret`, the same on every replica, and never CouchDB's own: whoever has that one could sign as anybody (H6). */
export function createSessionTokens(options: {
  readonly secret: Buffer;
  readonly now?: () => number;
}): SessionTokens {
  const key = createSecretKey(options.secret);
  const now = options.now ?? Date.now;
  return {
    sign({ kind, name, id, version, issuedAt, expiresAt }) {
      const fields = [KINDS[kind], name, id, version, seconds(issuedAt), seconds(expiresAt)];
      const payload = Buffer.from(JSON.stringify(fields)).toString('base64url');
      return `${payload}.${macOf(key, payload)}`;
    },
    read(token) {
      const dot = token.indexOf('.');
      if (dot === -1 || token.length > MAX_LENGTH) return isWellFormed(token) ? VOID : MALFORMED;
      const payload = token.slice(0, dot);
      if (!isSame(token.slice(dot + 1), macOf(key, payload))) return isWellFormed(token) ? VOID : MALFORMED;
      const session = sessionIn(payload);
      return now() < session.expiresAt ? { outcome: 'valid', session } : VOID;
    },
  };
}

/** Compared as text: a second spelling of the same bytes is not the same token. */
function isSame(given: string, expected: string): boolean {
  const a = Buffer.from(given);
  const b = Buffer.from(expected);
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The words before the payload keep this use of the secret apart from any other. */
function macOf(key: KeyObject, payload: string): string {
  return createHmac('sha256', key).update(`couchgate session 1.${payload}`).digest('base64url');
}

/** Only called for what we signed ourselves. */
function sessionIn(payload: string): Session {
  const fields = JSON.parse(Buffer.from(payload, 'base64url').toString()) as [
    string,
    string,
    string,
    string,
    number,
    number,
  ];
  const [kind, name, id, version, issuedAt, expiresAt] = fields;
  return {
    kind: KIND_OF[kind] ?? 'key',
    name,
    id,
    version,
    issuedAt: issuedAt * 1000,
    expiresAt: expiresAt * 1000,
  };
}

/**
 * CouchDB answers 400 for a cookie that is not base64url, or decodes to fewer than three fields between colons; one of ours has a dot.
 * Source: couch_httpd_auth.erl, cookie_authentication_handler.
 */
function isWellFormed(token: string): boolean {
  const parts = token.split('.');
  if (!parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part))) return false;
  if (parts.length === 2) return true;
  return parts.length === 1 && Buffer.from(token, 'base64url').toString('latin1').split(':').length >= 3;
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
