// One record per request. Each step writes its own field once; a later step reads it through `known`.
import { type IncomingMessage } from 'node:http';
import { type Destination, type Operation, type Target } from './catalogue/operation.ts';
import { type Endpoint, type Privilege } from './catalogue/endpoint.ts';
import { HttpError } from './http-errors.ts';
import { type Caller, type AuthenticationMethod, type Principal } from './principal/principal.ts';
import { type RoleSet } from './permissions/role.ts';

/** Where the request came from, after trusted proxies have been taken off (admit/address). */
export interface ClientAddress {
  readonly ip: string;
  readonly port: number;
  /** True when the client's own hop is TLS, seen here or said by a trusted proxy. */
  readonly secure: boolean;
  /** True when the whitelist lets this address do owner operations. */
  readonly mayAdminister: boolean;
}

export interface Identified {
  readonly principal: Principal;
  readonly method: AuthenticationMethod;
  /** Id of the session, for the cookie method; what DELETE /_session ends. */
  readonly sessionId?: string;
  /** Names the password of an API key that was shown: what is still running ends when it is no longer good. */
  readonly keyVersion?: string;
  /** Value of a renewed Set-Cookie header that must go out with this answer. */
  readonly renewedCookie?: string;
}

/** What authorize decided, and why. */
export type Decision =
  | {
      readonly allow: true;
      /** The row that was applied, after the body had its say. */
      readonly endpoint: Endpoint;
      readonly privilege: Privilege;
      /** `identity: 'own'` = couchdb_auth_only: CouchDB decides with the caller's own name and roles. */
      readonly identity: 'marker' | 'own';
      /** The caller's roles on the database: they ride along for validate_doc_update. */
      readonly roles: RoleSet;
      /** Name of the rule that decided, for the audit log. */
      readonly rule: string;
      /** The body that was read to decide; exactly these bytes are forwarded. Undefined = stream the request. */
      readonly body: Buffer | undefined;
    }
  | {
      readonly allow: false;
      /** 400 and 405 are said to the owner alone, of what is closed to everybody. */
      readonly status: 400 | 401 | 403 | 404 | 405;
      readonly reason: string;
      readonly rule: string;
      readonly needed: string;
    };

/** A refusal by Couchgate of what authorize had let in, after a look at what it asks for. What CouchDB refuses is none. */
export interface Overruling {
  /** As in a decision, for the audit log. */
  readonly rule: string;
  readonly reason: string;
}

/** What happened upstream, for the audit log. */
export interface UpstreamTimes {
  node: string | undefined;
  status: number | undefined;
  /** `performance.now()` when the request left for CouchDB, and when its answer's head came. */
  sentAt: number | undefined;
  answeredAt: number | undefined;
}

export class Context {
  readonly startedAt = performance.now();
  /** Written by audit: the accepted or made X-Couch-Request-ID. */
  id = '';
  /** Headers that the answer carries whatever it is, as name and value in turn; listen/messages.ts sends them. */
  readonly answerHeaders: string[] = [];
  client: ClientAddress | undefined = undefined;
  target: Target | undefined = undefined;
  destination: Destination | undefined = undefined;
  operation: Operation | undefined = undefined;
  identified: Identified | undefined = undefined;
  decision: Decision | undefined = undefined;
  /** The last word over `decision`, for the audit log and the metrics. */
  overruled: Overruling | undefined = undefined;
  readonly upstream: UpstreamTimes = {
    node: undefined,
    status: undefined,
    sentAt: undefined,
    answeredAt: undefined,
  };
  /** Name of the rule by which a step before authorize ended the request (`address`, `preflight`, `access-log`), for the audit log. */
  endedBy: string | undefined = undefined;
  /** Why the answer ended early, for the audit log: `client left`, `upstream truncated`, `revoked`, … */
  ended: string | undefined = undefined;
  /** Private detail of a failure, for the log. */
  failure: string | undefined = undefined;
  /** What a management event has changed (never a secret), for the audit log; written when it is done. */
  change: Readonly<Record<string, unknown>> | undefined = undefined;
}

/** Rules by status. Other errors of a handler say that a request is wrong, or cannot be served: they refuse nobody a right. */
const LATE_RULES: Readonly<Record<number, string>> = {
  401: 'not signed in',
  403: 'content',
  429: 'credentials',
};

/** Notes an error that ends a request which authorize let in, if it is a refusal. */
export function overrule(context: Context, error: unknown, rule?: string): void {
  if (!(error instanceof HttpError)) return;
  const late = rule ?? LATE_RULES[error.status];
  if (late !== undefined) context.overruled ??= { rule: late, reason: error.reason };
}

/** The context of a request; listen/ makes it with the request itself, so a missing one is a programming error. */
export function contextOf(req: IncomingMessage): Context {
  return (req as IncomingMessage & { readonly context: Context }).context;
}

/** A field that an earlier step must have written: absence is a fault in the order of steps, and fails closed. */
export function known<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new Error(`context.${field} was read before its step wrote it`);
  return value;
}

/** Who asks, once that has been found out. */
export function callerOf({ identified, client }: Context): Caller {
  return { principal: known(identified, 'identified').principal, ip: known(client, 'client').ip };
}
