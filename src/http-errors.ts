// Defines the errors that Couchgate sends as HTTP responses.

/**
 * An error in CouchDB's format `{error, reason}`. `reason` is public. `detail` is written to the log only,
 * and must not contain a credential.
 */
export class HttpError extends Error {
  readonly status: number;
  readonly error: string;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly detail: string | undefined;

  constructor(
    status: number,
    error: string,
    reason: string,
    options: { headers?: Readonly<Record<string, string>>; detail?: string } = {},
  ) {
    super(reason);
    this.status = status;
    this.error = error;
    this.reason = reason;
    this.headers = options.headers ?? {};
    this.detail = options.detail;
  }

  /** Body of the response. */
  get body(): Readonly<Record<string, string | number>> {
    return { error: this.error, reason: this.reason };
  }
}

export class BadRequest extends HttpError {
  constructor(reason: string, error = 'bad_request') {
    super(400, error, reason);
  }
}

export class Unauthorized extends HttpError {
  constructor(reason: string) {
    super(401, 'unauthorized', reason);
  }
}

export class Forbidden extends HttpError {
  constructor(reason: string) {
    super(403, 'forbidden', reason);
  }
}

export class NotFound extends HttpError {
  constructor(reason = 'missing', error = 'not_found') {
    super(404, error, reason);
  }
}

/** CouchDB's response to GET /_up of a node in maintenance. */
export class MaintenanceMode extends HttpError {
  constructor() {
    super(404, 'maintenance_mode', 'Couchgate is draining.');
  }

  override get body() {
    return { status: this.error };
  }
}

export class MethodNotAllowed extends HttpError {
  constructor(allowed: string) {
    super(405, 'method_not_allowed', `Only ${allowed} allowed`, { headers: { Allow: allowed } });
  }
}

export class Conflict extends HttpError {
  constructor(reason: string, error = 'conflict') {
    super(409, error, reason);
  }
}

/** The permissions are not in the state that the client named. The body says in which they are. */
export class PreconditionFailed extends HttpError {
  readonly #revision: number;

  constructor(reason: string, revision: number) {
    super(412, 'precondition_failed', reason);
    this.#revision = revision;
  }

  override get body() {
    return { error: this.error, reason: this.reason, revision: this.#revision };
  }
}

export class TooLarge extends HttpError {
  constructor(reason = 'the request entity is too large') {
    super(413, 'too_large', reason);
  }
}

export class TooLong extends HttpError {
  constructor() {
    super(414, 'too_long', 'the request uri is too long');
  }
}

export class HeaderTooLong extends HttpError {
  constructor(name: string, reason = `the request header ${name} is too long`) {
    super(431, 'too_large', reason);
  }
}

export class BadContentType extends HttpError {
  constructor(reason = 'Content-Type must be application/json') {
    super(415, 'bad_content_type', reason);
  }
}

export class TooManyRequests extends HttpError {
  constructor(reason: string, retryAfterSeconds: number) {
    super(429, 'too_many_requests', reason, { headers: { 'Retry-After': String(retryAfterSeconds) } });
  }
}

/**
 * CouchDB is unreachable, or a part of Couchgate that depends on it is not ready. The status is not 401 or
 * 408: clients treat those as final. For example, the CouchDB replicator stops the job.
 */
export class Unavailable extends HttpError {
  constructor(
    reason: string,
    options: { retryAfterSeconds?: number; detail?: string | undefined; error?: string } = {},
  ) {
    super(503, options.error ?? 'service_unavailable', reason, {
      headers: { 'Retry-After': String(options.retryAfterSeconds ?? 5) },
      ...(options.detail === undefined ? {} : { detail: options.detail }),
    });
  }
}

/** `reason` of a change that fewer nodes than the quorum have confirmed. */
export const TOO_FEW_CONFIRMED = 'The change may or may not stand: too few CouchDB nodes confirmed it.';

/** CouchDB did not confirm a change. The name of the error tells it apart from a change that was not made. */
export class UnknownOutcome extends Unavailable {
  /** `reason` says that the change may or may not stand, and which confirmation is missing. */
  constructor(reason: string, { detail }: { detail?: string | undefined } = {}) {
    super(reason, { error: 'unknown_outcome', detail });
  }
}

/**
 * The request is still permitted, but with less privilege or fewer roles than when it was decided (H19). Not
 * 403: a replicator would skip documents that it may write.
 */
export class RightsReduced extends Unavailable {
  /** The reason of the end in the access log. */
  static readonly ENDED = 'rights reduced';

  constructor() {
    super('The permissions changed during the request; repeat it.', { retryAfterSeconds: 1 });
  }
}

/**
 * A queue of requests to CouchDB is full. It does not mean an outage, so caches must not use their outage
 * time.
 */
export class TooBusy extends Unavailable {
  constructor() {
    super('Too many requests are waiting for CouchDB.', { retryAfterSeconds: 1 });
  }
}

export class BadGateway extends HttpError {
  constructor(reason: string, detail?: string) {
    super(502, 'bad_gateway', reason, detail === undefined ? {} : { detail });
  }
}

export class GatewayTimeout extends HttpError {
  constructor(reason: string) {
    super(504, 'gateway_timeout', reason);
  }
}
