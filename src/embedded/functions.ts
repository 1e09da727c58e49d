// Caches the compiled design functions of one database and runs map, reduce, filter and validate_doc_update.
import { Forbidden, HttpError, Unauthorized } from '../http-errors.ts';
import { isObject } from './json.ts';
import { type FunctionFailure, type Outcome, SandboxedFunction } from './sandbox.ts';

/** Each compiled function holds a QuickJS runtime of up to 64 MB. */
const MAX_COMPILED_FUNCTIONS = 16;

/** Runs the design functions of one database: equal functions of two databases must not share variables. */
export class FunctionHost {
  /** By source; the oldest first. */
  readonly #compiled = new Map<string, SandboxedFunction>();

  /**
   * The rows that a map function emits for a document. As in CouchDB, a function that throws emits none.
   * Throws `FunctionFailure` if the function exceeds a limit or does not compile.
   */
  map(source: string, doc: object): [key: unknown, value: unknown][] {
    const outcome = this.#run(source, [doc]);
    if ('thrown' in outcome || !Array.isArray(outcome.emitted)) return [];
    return outcome.emitted.filter((row): row is [unknown, unknown] => Array.isArray(row) && row.length === 2);
  }

  /** The reduced value. Throws CouchDB's 500 if the function throws. */
  reduce(source: string, keys: unknown, values: unknown, rereduce: boolean): unknown {
    return this.#valueOf(this.#run(source, [keys, values, rereduce])) ?? null;
  }

  /** Whether the result of a filter function is truthy. Throws CouchDB's 500 if the function throws. */
  filter(source: string, doc: object, request: object): boolean {
    const value = this.#valueOf(this.#run(source, [doc, request]));
    return value !== false && value !== undefined && value !== null && value !== 0 && value !== '';
  }

  /**
   * Runs validate_doc_update. If it refuses the document, throws 401 or 403 with the reason of the function.
   * docs.couchdb.org/en/stable/ddocs/ddocs.html#vdufun
   */
  validate(source: string, doc: object, old: object | null, userContext: object, security: object): void {
    const outcome = this.#run(source, [doc, old, userContext, security]);
    if (!('thrown' in outcome)) return;
    const thrown = outcome.thrown;
    if (isObject(thrown) && thrown['unauthorized'] !== undefined)
      throw new Unauthorized(reasonText(thrown['unauthorized']));
    if (isObject(thrown) && thrown['forbidden'] !== undefined)
      throw new Forbidden(reasonText(thrown['forbidden']));
    throw thrownError(thrown);
  }

  /** Throws `FunctionFailure` of kind `compilation` if the source is not a function expression. */
  check(source: string): void {
    new SandboxedFunction(source).dispose();
  }

  /** Frees all runtimes. */
  dispose(): void {
    for (const compiled of this.#compiled.values()) compiled.dispose();
    this.#compiled.clear();
  }

  #valueOf(outcome: Outcome): unknown {
    if ('thrown' in outcome) throw thrownError(outcome.thrown);
    return outcome.value;
  }

  #run(source: string, args: readonly unknown[]): Outcome {
    let compiled = this.#compiled.get(source);
    if (compiled === undefined) {
      compiled = new SandboxedFunction(source);
      for (const [oldest, sandbox] of this.#compiled) {
        if (this.#compiled.size < MAX_COMPILED_FUNCTIONS) break;
        sandbox.dispose();
        this.#compiled.delete(oldest);
      }
      this.#compiled.set(source, compiled);
    }
    try {
      return compiled.call(args);
    } finally {
      if (compiled.isTerminated) this.#compiled.delete(source);
    }
  }
}

/** CouchDB's answer for a design function that does not compile (400) or exceeds a limit (500). */
export function functionError(failure: FunctionFailure): HttpError {
  if (failure.kind === 'compilation') return new HttpError(400, 'compilation_error', failure.message);
  return new HttpError(500, 'timeout', 'The request could not be processed in a reasonable amount of time.');
}

function thrownError(thrown: unknown): HttpError {
  // CouchDB's text for a JavaScript error. It contains nothing of the document.
  if (isObject(thrown) && typeof thrown['name'] === 'string')
    return new HttpError(500, thrown['name'], '{[]}');
  return new HttpError(500, 'unknown_error', reasonText(thrown));
}

function reasonText(reason: unknown): string {
  return typeof reason === 'string' ? reason : JSON.stringify(reason);
}
