// The record of one request. Each step writes its own field once; later steps read it through `known`.
import { type IncomingMessage } from 'node:http';
import { type Endpoint, type Privilege } from './catalogue/endpoint.ts';
import { type Destination, type Operation, type Target } from './catalogue/operation.ts';
import { HttpError } from './http-errors.ts';
import { type AuthenticationMethod, type Caller, type Principal } from './principal/principal.ts';
import { type RoleSet } from './permissions/role.ts';

/** Where the request came from, after trusted proxies were removed (admit/address). */
export interface ClientAddress {
  readonly ip: string;
  readonly port: number;
  /** True when the client's own hop is TLS, as seen here or as a trusted proxy says. */
  readonly secure: boolean;
  /** True when the whitelist permits owner operations from this address. */
  readonly mayAdminister: boolean;
}

/** Who sent the request, and by which credential (authenticate). */
export interface Identified {
  readonly principal: Principal;
  readonly method: AuthenticationMethod;
  /** Id of the session, for the cookie method; `DELETE /_session` ends it. */
  readonly sessionId?: string;
  /** Version of the API key's password that was used: when it is no longer valid, what still runs is cut. */
  readonly keyVersion?: string;
  /** Value of the Set-Cookie header that renews the session. */
  readonly renewedCookie?: string;
}

/** What authorize decided, and why. */
export type Decision =
  | {
      readonly allow: true;
      /** The endpoint that was applied, after the body had its say. */
      readonly endpoint: Endpoint;
      readonly privilege: Privilege;
      /** `identity: 'own'` = couchdb_auth_only: CouchDB decides with the caller's own name and roles. */
      readonly identity: 'marker' | 'own';
      /** The caller's roles on the database: they are sent along for validate_doc_update. */
      readonly roles: RoleSet;
      /** Name of the rule that decided, for the access log. */
      readonly rule: string;
    }
  | {
      readonly allow: false;
      /** 400 and 405 are sent for mistakes only, to the owner and to holders of a right. */
      readonly status: 400 | 401 | 403 | 404 | 405;
      /** CouchDB's name of the error, where the status does not give it. */
      readonly error?: string;
      readonly reason: string;
      readonly rule: string;
      readonly needed: string;
    };

/** A request body that Couchgate has read into memory (body/read.ts). */
export interface ReadBody {
  /** The bytes as the client sent them. */
  readonly received: Buffer;
  /** The bytes after Content-Encoding was removed; the same buffer without one. */
  readonly decoded: Buffer;
}

/** What happened upstream, for the access log. */
export interface UpstreamTimes {
  node: string | undefined;
  status: number | undefined;
  /** `performance.now()` when the request left for CouchDB, and when the head of its answer arrived. */
  sentAt: number | undefined;
  answeredAt: number | undefined;
}

/** A refusal by any step but authorize. CouchDB's refusals are none. */
export interface Refusal {
  /** As in a decision, for the access log. */
  readonly rule: string;
  readonly reason: string | undefined;
}

/**
 * How a request ended. Every fact has one writer; of two, the first counts. audit/outcome.ts is the only place that
 * interprets it.
 */
export class Outcome {
  #refusal: Refusal | undefined = undefined;
  #cutShort: string | undefined = undefined;
  /** True when a CORS preflight was answered (admit/origin). */
  isPreflight = false;
  /** Private detail of the last failure, for the log. */
  failure: string | undefined = undefined;
  /** What a management event has changed (never a secret); written when it is done. */
  change: Readonly<Record<string, unknown>> | undefined = undefined;

  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  /** Why the answer ended early: `client left`, `upstream truncated`, `revoked`, … */
  get cutShort(): string | undefined {
    return this.#cutShort;
  }

  refuse(rule: string, reason?: string): void {
    this.#refusal ??= { rule, reason };
  }

  /** Records an error that ends a request which authorize had permitted, if it is a refusal. */
  refuseBy(error: unknown, rule?: string): void {
    if (!(error instanceof HttpError)) return;
    const late = rule ?? RULE_BY_STATUS[error.status];
    if (late !== undefined) this.refuse(late, error.reason);
  }

  cut(reason: string): void {
    this.#cutShort ??= reason;
  }
}

/** Other errors of a handler say that a request is wrong, or cannot be served: they refuse nobody a right. */
const RULE_BY_STATUS: Readonly<Record<number, string>> = {
  401: 'not signed in',
  403: 'content',
  429: 'credentials',
};

export class Context {
  readonly startedAt = performance.now();
  /** The accepted or generated X-Couch-Request-ID (audit/record). */
  id = '';
  /** Headers of every answer to this request, name and value in turn (listen/messages writes them). */
  readonly answerHeaders: string[] = [];
  /** Further headers of every answer that is a page (listen/security-headers). */
  pageHeaders: readonly string[] = [];
  client: ClientAddress | undefined = undefined;
  target: Target | undefined = undefined;
  destination: Destination | undefined = undefined;
  operation: Operation | undefined = undefined;
  identified: Identified | undefined = undefined;
  decision: Decision | undefined = undefined;
  /** The body, where Couchgate has read it (body/read). */
  body: ReadBody | undefined = undefined;
  /** The body that CouchDB gets in its place, where a guard wrote it anew (guard/). */
  guardedBody: Buffer | undefined = undefined;
  readonly upstream: UpstreamTimes = {
    node: undefined,
    status: undefined,
    sentAt: undefined,
    answeredAt: undefined,
  };
  readonly outcome = new Outcome();

  /** Sets a header of the answer, whoever writes it; replaces one of the same name. */
  setAnswerHeader(name: string, value: string): void {
    const headers = this.answerHeaders;
    for (let at = 0; at < headers.length; at += 2) {
      if (headers[at] === name) {
        headers[at + 1] = value;
        return;
      }
    }
    headers.push(name, value);
  }

  /** The value set by `setAnswerHeader`. */
  answerHeader(name: string): string | undefined {
    const headers = this.answerHeaders;
    for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return headers[at + 1];
    return undefined;
  }
}

/** The context of a request. listen/messages makes it with the request itself, so a missing one is a programming error. */
export function contextOf(req: IncomingMessage): Context {
  return (req as IncomingMessage & { readonly context: Context }).context;
}

/** A field that an earlier step must have written. Its absence is a fault in the order of steps, and fails closed. */
export function known<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new Error(`context.${field} was read before its step wrote it`);
  return value;
}

/** The principal and its address, once authenticate has run. */
export function callerOf({ identified, client }: Context): Caller {
  return { principal: known(identified, 'identified').principal, ip: known(client, 'client').ip };
}

/** The decision of a request that authorize has permitted. Throws when it was refused: no later step may see it. */
export function permitted(context: Context): Extract<Decision, { allow: true }> {
  const decision = known(context.decision, 'decision');
  if (!decision.allow) throw new Error('a refused request reached a later step');
  return decision;
}
