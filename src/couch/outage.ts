// Reports failures of work that is repeated until it succeeds: the first one of an outage, then none until it
// ended.
import { HttpError } from '../http-errors.ts';

/** Writes one line of the operational log: a constant message, and what varies as fields. */
export type WriteLog = (message: string, fields: object) => void;

/** What a log line says about an error: never a message of unknown origin, which may quote a document. */
export function describeError(error: unknown): string {
  if (error instanceof HttpError) return error.detail ?? error.reason;
  if (!(error instanceof Error)) return 'unexpected failure';
  const place = /^ +at .+$/m.exec(error.stack ?? '')?.[0].trim();
  return `unexpected failure: ${error.name}${place === undefined ? '' : ` ${place}`}`;
}

/** One kind of repeated work. */
export class OutageReport {
  readonly #message: string;
  readonly #report: WriteLog;
  #hasReportedFailure = false;
  #hasReportedFault = false;

  /** `message` is constant; `report` logs it as a warning. */
  constructor(message: string, report: WriteLog) {
    this.#message = message;
    this.#report = report;
  }

  /** Reports `error`, unless this outage was reported; a fault of Couchgate also beside one of CouchDB. */
  failed(error: unknown, fields: object = {}): void {
    const isFailure = error instanceof HttpError;
    if (isFailure ? this.#hasReportedFailure : this.#hasReportedFault) return;
    if (isFailure) this.#hasReportedFailure = true;
    else this.#hasReportedFault = true;
    this.#report(this.#message, { ...fields, detail: describeError(error) });
  }

  /** The work succeeded: the next failure is reported again. */
  succeeded(): void {
    this.#hasReportedFailure = false;
    this.#hasReportedFault = false;
  }
}
