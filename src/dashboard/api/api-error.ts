// The error of a request that was refused, or that got no answer.

/** A refusal or failure, with what a person needs to find it in the access log. */
export class ApiError extends Error {
  /** HTTP status; 0 = no answer arrived, or a part of one. */
  readonly status: number;
  /** CouchDB's name of the error. */
  readonly error: string;
  readonly reason: string;
  readonly requestId: string | undefined;

  constructor(status: number, error: string, reason: string, requestId: string | undefined) {
    super(reason);
    this.status = status;
    this.error = error;
    this.reason = reason;
    this.requestId = requestId;
  }

  /**
   * True if nobody knows whether the change stands that was asked for: the answer was lost, or CouchDB did
   * not confirm it. `service_unavailable` says that nothing was done.
   */
  get isOutcomeUnknown(): boolean {
    return this.status === 0 || (this.status >= 500 && this.error !== 'service_unavailable');
  }

  /** True if the same request may succeed later: Couchgate or CouchDB is away or busy. */
  get isTemporary(): boolean {
    return this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503;
  }
}
