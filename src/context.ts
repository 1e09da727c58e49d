// The state of one request. Each step writes its own field once; later steps read it through `known`.
import { type IncomingMessage } from 'node:http';
import { type Endpoint, type Privilege } from './catalogue/endpoint.ts';
import { type Destination, type Operation, type Target } from './catalogue/operation.ts';
import { HttpError, RightsReduced } from './http-errors.ts';
import { type RefusedLogin } from './identity/refused-login.ts';
import { type AuthenticationMethod, type Caller, type Principal } from './principal/principal.ts';
import { type RoleSet } from './permissions/role.ts';

/** The client's address, after removal of trusted proxies (admit/address). */
export interface ClientAddress {
  readonly ip: string;
  readonly port: number;
  /** True if the client's connection uses TLS, as seen here or as reported by a trusted proxy. */
  readonly secure: boolean;
  /** True if `secure` is certain: TLS ends here, or a trusted proxy named the scheme. */
  readonly schemeKnown: boolean;
  /** True if the whitelist permits owner operations from this address. */
  readonly mayAdminister: boolean;
}

/** The principal of the request and its credential (authenticate). */
export interface Identified {
  readonly principal: Principal;
  readonly method: AuthenticationMethod;
  /** Id of the session, for the cookie method; `DELETE /_session` ends it. */
  readonly sessionId?: string;
  /** Version of the API key's password. Its revocation ends running requests of this credential. */
  readonly keyVersion?: string;
  /** Value of the Set-Cookie header that renews the session. */
  readonly renewedCookie?: string;
}

/** Rules that permit a request (docs/audit-log.md). */
export type AllowedRule =
  | 'public'
  | 'signed in'
  | 'owner'
  | 'grant'
  | 'admin grant'
  | 'prefix grant'
  | 'server grant'
  | 'own user document'
  | 'sign-up'
  | 'couchdb_auth_only';

/** Rules by which authorize refuses a request (docs/audit-log.md). */
export type DeniedRule =
  | 'grant'
  | 'not signed in'
  | 'no database'
  | 'couchdb_auth_only'
  | 'illegal_database_name'
  | 'owner address'
  | 'dashboard listener'
  | 'blocked';

/** A decision to permit a request. */
export interface Allowed {
  readonly allow: true;
  /** The endpoint that was applied; the body may have selected it. */
  readonly endpoint: Endpoint;
  readonly privilege: Privilege;
  /** `identity: 'own'` = couchdb_auth_only: CouchDB decides with the caller's own name and roles. */
  readonly identity: 'marker' | 'own';
  /** The caller's roles on the database, forwarded for validate_doc_update. */
  readonly roles: RoleSet;
  /** The rule that decided, for the access log alone. */
  readonly rule: AllowedRule;
}

/** A decision to refuse a request. */
export interface Denied {
  readonly allow: false;
  /** 400 and 405 only for mistakes, and only to the principals that `explainedTo` names. */
  readonly status: 400 | 401 | 403 | 404 | 405;
  /** CouchDB's name of the error, where the status does not give it. */
  readonly error?: string;
  readonly reason: string;
  /** The rule that decided, for the access log alone. */
  readonly rule: DeniedRule;
  readonly needed: string;
}

/** What authorize decided, and why. */
export type Decision = Allowed | Denied;

/** Facts about the upstream request, for the access log. */
export interface UpstreamTimes {
  node: string | undefined;
  status: number | undefined;
  /** `performance.now()` when the request was sent to CouchDB, and when the head of its answer arrived. */
  sentAt: number | undefined;
  answeredAt: number | undefined;
}

/** A refusal by a step other than authorize. Refusals by CouchDB are not recorded here. */
export interface Refusal {
  /** As in a decision, for the access log. */
  readonly rule: string;
  readonly reason: string | undefined;
}

/**
 * Who ends an exchange early, by the reason of the access log: C client, S CouchDB, K Couchgate. The letters
 * are those of HAProxy's termination state (audit/outcome.ts).
 */
export const PARTY_OF = {
  'client left': 'C',
  'client was silent': 'C',
  'client was slow': 'C',
  'upstream truncated': 'S',
  revoked: 'K',
  [RightsReduced.ENDED]: 'K',
  'could not be checked': 'K',
  draining: 'K',
} as const;

/** Why an answer ended early. */
export type CutReason = keyof typeof PARTY_OF;

/**
 * The facts about the end of a request. Each fact has one writer; if it is set twice, the first value counts.
 * audit/outcome.ts is the only place that interprets them.
 */
export class Outcome {
  #refusal: Refusal | undefined = undefined;
  #cutShort: CutReason | undefined = undefined;
  #loginName: string | undefined = undefined;
  /** True if the request was a CORS preflight that Couchgate answered (admit/origin). */
  isPreflight = false;
  /** The database that the body names, where the path names none (authorize/database-from-form). */
  namedDatabase: string | undefined = undefined;
  /** Private detail of the last failure, for the log. */
  failure: string | undefined = undefined;
  /** The change made by a management event, without secrets; set after the change was made. */
  change: Readonly<Record<string, unknown>> | undefined = undefined;

  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  /** Why the answer ended early. */
  get cutShort(): CutReason | undefined {
    return this.#cutShort;
  }

  /** Records a refusal by a step other than authorize. */
  refuse(rule: string, reason?: string): void {
    this.#refusal ??= { rule, reason };
  }

  /** Records `error`, thrown after authorize has permitted the request, if it denies a right. */
  refuseBy(error: unknown, rule?: string): void {
    if (!(error instanceof HttpError)) return;
    const refusalRule = rule ?? RULE_BY_STATUS[error.status];
    if (refusalRule !== undefined) this.refuse(refusalRule, error.reason);
  }

  /** Records a refused login. The name goes to the access log only. */
  refuseLogin({ name, reason }: RefusedLogin): void {
    this.#loginName ??= name;
    this.refuse('credentials', reason);
  }

  /** The name of a refused login, if a key or a user has it, else `(unknown)`. */
  get loginName(): string | undefined {
    return this.#loginName;
  }

  /** Records why the answer ended early. */
  cut(reason: CutReason): void {
    this.#cutShort ??= reason;
  }
}

/** The rule by status. Other statuses mean an invalid or unserviceable request; they do not deny a right. */
const RULE_BY_STATUS: Readonly<Record<number, string>> = {
  401: 'not signed in',
  403: 'content',
  429: 'credentials',
};

/** Headers of pages, as alternating names and values. */
export interface PageHeaders {
  /** For CouchDB's own pages (Fauxton). */
  readonly couchdb: readonly string[];
  readonly dashboard: readonly string[];
}

/** Without a log, a fault must not pass in silence. */
function rethrow(thrown: unknown): never {
  throw thrown;
}

const NO_PAGE_HEADERS: PageHeaders = Object.freeze({ couchdb: [], dashboard: [] });

export class Context {
  readonly startedAt = performance.now();
  /** The accepted or generated X-Couch-Request-ID (audit/record). */
  id = '';
  /** Headers of every answer, as alternating names and values (sent by listen/messages). */
  readonly answerHeaders: string[] = [];
  /** Further headers of every answer that is a page (listen/security-headers). */
  pageHeaders: PageHeaders = NO_PAGE_HEADERS;
  /** True if the request came over the listener of the dashboard alone (listen/server). */
  isOnDashboardListener = false;
  /** True if the session of the dashboard alone authenticates the request (authenticate/dashboard). */
  isDashboard = false;
  client: ClientAddress | undefined = undefined;
  target: Target | undefined = undefined;
  destination: Destination | undefined = undefined;
  operation: Operation | undefined = undefined;
  identified: Identified | undefined = undefined;
  /** Number of changes of users before its credential was checked (authenticate/index). */
  userChanges = 0;
  decision: Decision | undefined = undefined;
  /** True if the credential or the permission has ended since the decision (revocation/after-wait). */
  hasEnded = false;
  /** Settles when the answer step has ended, also after the client has gone; never rejects (answer/index). */
  answering: Promise<void> | undefined = undefined;
  /** The decoded body, if Couchgate has read it (body/read). CouchDB gets these bytes. */
  body: Buffer | undefined = undefined;
  /** The body that CouchDB gets instead, if a guard wrote it again (guard/). */
  guardedBody: Buffer | undefined = undefined;
  /** The query that CouchDB gets instead, if a check of the body wrote it again (body/bulk-get). */
  sentQuery: string | undefined = undefined;
  /** Sends `100 Continue` to a client that waits for it before it sends its body (listen/expect-continue). */
  sendContinue: (() => void) | undefined = undefined;
  readonly upstream: UpstreamTimes = {
    node: undefined,
    status: undefined,
    sentAt: undefined,
    answeredAt: undefined,
  };
  readonly outcome = new Outcome();
  /** Writes what a listener of the response throws to the operational log (audit/record). */
  reportFault: (thrown: unknown, requestId: string) => void = rethrow;

  /** Called before the first byte of the body is read. A refusal before it saves the client the upload. */
  wantBody(): void {
    const { sendContinue } = this;
    if (sendContinue === undefined) return;
    this.sendContinue = undefined;
    sendContinue();
  }

  /** Sets a header of every answer to this request; replaces one of the same name. */
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

/** Returns the context of a request. listen/messages creates it together with the request. */
export function contextOf(req: IncomingMessage): Context {
  return (req as IncomingMessage & { readonly context: Context }).context;
}

/** Returns a field that an earlier step must have written. Throws if the order of steps is wrong. */
export function known<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new Error(`context.${field} was read before its step wrote it`);
  return value;
}

/** Returns the database that the request names. Throws before classify has run, and if it names none. */
export function databaseOf({ operation }: Context): string {
  return known(known(operation, 'operation').database, 'operation.database');
}

/** Returns the principal and its address. Throws before authenticate has run. */
export function callerOf({ identified, client }: Context): Caller {
  return { principal: known(identified, 'identified').principal, ip: known(client, 'client').ip };
}

/** Returns the decision of a permitted request. Throws for a refused one: no later step may run. */
export function permitted(context: Context): Allowed {
  const decision = known(context.decision, 'decision');
  if (!decision.allow) throw new Error('a refused request reached a later step');
  return decision;
}
