// Signs and verifies session tokens. A token is bound to the credential that started the session.
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';

export type SessionKind = 'key' | 'user' | 'owner';

/** The content of a session token. */
export interface Session {
  readonly kind: SessionKind;
  readonly name: string;
  /** Kept by renewals; DELETE /_session ends the session with this id. */
  readonly id: string;
  /** Identifies the credential that started the session; the session ends when it changes. */
  readonly version: string;
  /** Milliseconds since the epoch, rounded down to seconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/**
 * `void` = wrong signature or expired; CouchDB treats such a cookie as absent. `malformed` = a format that
 * neither CouchDB nor Couchgate uses.
 */
export type ReadToken =
  | { readonly outcome: 'valid'; readonly session: Session }
  | { readonly outcome: 'void' }
  | { readonly outcome: 'malformed' };

/** Signer and verifier of session tokens. */
export interface SessionTokens {
  sign(session: Session): string;
  read(token: string): ReadToken;
}

const VOID: ReadToken = Object.freeze({ outcome: 'void' });
const MALFORMED: ReadToken = Object.freeze({ outcome: 'malformed' });
const KINDS: Readonly<Record<SessionKind, string>> = { key: 'k', user: 'u', owner: 'o' };
const KIND_OF: Readonly<Record<string, SessionKind>> = { k: 'key', u: 'user', o: 'owner' };
/** Longer tokens are rejected without verification. */
const MAX_LENGTH = 4096;

/**
 * Creates the signer. All replicas use the same `secret`. It must differ from CouchDB's own secret, which
 * allows signing in as anybody (H6).
 */
export function createSessionTokens(options: {
  readonly secret: Buffer;
  /** A token is valid for one use only: the session of a client, or the session of the dashboard. */
  readonly use?: 'session' | 'dashboard';
  /**
   * Longest validity of a token. It limits tokens that were signed under a longer one too: the record of the
   * end of a session is not kept longer.
   */
  readonly sessionTimeoutSeconds?: number;
  readonly now?: () => number;
}): SessionTokens {
  const key = createSecretKey(options.secret);
  const { use = 'session', sessionTimeoutSeconds = Infinity } = options;
  const now = options.now ?? Date.now;
  return {
    sign({ kind, name, id, version, issuedAt, expiresAt }) {
      const fields = [KINDS[kind], name, id, version, seconds(issuedAt), seconds(expiresAt)];
      const payload = Buffer.from(JSON.stringify(fields)).toString('base64url');
      return `${payload}.${macOf(key, use, payload)}`;
    },
    read(token) {
      const dot = token.indexOf('.');
      if (dot === -1 || token.length > MAX_LENGTH) return isWellFormed(token) ? VOID : MALFORMED;
      const payload = token.slice(0, dot);
      if (!isSame(token.slice(dot + 1), macOf(key, use, payload)))
        return isWellFormed(token) ? VOID : MALFORMED;
      const session = sessionIn(payload);
      const expiresAt = Math.min(session.expiresAt, session.issuedAt + sessionTimeoutSeconds * 1000);
      return now() < expiresAt ? { outcome: 'valid', session } : VOID;
    },
  };
}

/** Compares the encoded text: another encoding of the same bytes is not the same token. */
function isSame(given: string, expected: string): boolean {
  const a = Buffer.from(given);
  const b = Buffer.from(expected);
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Authenticates a payload. The prefix separates the uses of the secret. */
function macOf(key: KeyObject, use: string, payload: string): string {
  return createHmac('sha256', key).update(`couchgate ${use} 1.${payload}`).digest('base64url');
}

/** Decodes a payload; call it only after the signature was verified. */
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
 * True for the formats of CouchDB and Couchgate. CouchDB answers 400 for a cookie that is not base64url, or
 * that decodes to fewer than three fields separated by colons. A token of Couchgate has a dot.
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
