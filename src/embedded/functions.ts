// Keeps the compiled design functions of one database and calls them as map, reduce, filter or validate_doc_update. Limits are sandbox.ts's business.
import { Forbidden, HttpError, Unauthorized } from '../http-errors.ts';
import { isObject } from './json.ts';
import { type FunctionFailure, type Outcome, SandboxedFunction } from './sandbox.ts';

const KEPT_FUNCTIONS = 16;

export class FunctionHost {
  // One host a database: functions of equal source in two databases must not share variables.
  readonly #compiled = new Map<string, SandboxedFunction>();

  /** Rows that the map function emitted for a document; a function that throws emits nothing, as in CouchDB. */
  map(source: string, doc: object): [key: unknown, value: unknown][] {
    const outcome = this.#run(source, [doc]);
    if ('thrown' in outcome || !Array.isArray(outcome.emitted)) return [];
    return outcome.emitted.filter((row): row is [unknown, unknown] => Array.isArray(row) && row.length === 2);
  }

  /** The reduced value. Throws CouchDB's 500 when the function throws. */
  reduce(source: string, keys: unknown, values: unknown, rereduce: boolean): unknown {
    return this.#valueOf(this.#run(source, [keys, values, rereduce])) ?? null;
  }

  filter(source: string, doc: object, request: object): boolean {
    const value = this.#valueOf(this.#run(source, [doc, request]));
    return value !== false && value !== undefined && value !== null && value !== 0 && value !== '';
  }

  /** Throws 401 or 403 with the function's own words when it refuses the document. docs.couchdb.org/en/stable/ddocs/ddocs.html#vdufun */
  validate(source: string, doc: object, old: object | null, userContext: object, security: object): void {
    const outcome = this.#run(source, [doc, old, userContext, security]);
    if (!('thrown' in outcome)) return;
    const thrown = outcome.thrown;
    if (isObject(thrown) && thrown['unauthorized'] !== undefined)
      throw new Unauthorized(sentence(thrown['unauthorized']));
    if (isObject(thrown) && thrown['forbidden'] !== undefined)
      throw new Forbidden(sentence(thrown['forbidden']));
    throw thrownError(thrown);
  }

  /** Throws `FunctionFailure` of kind `compilation` when the source is no function. */
  check(source: string): void {
    new SandboxedFunction(source).dispose();
  }

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
        if (this.#compiled.size < KEPT_FUNCTIONS) break;
        sandbox.dispose();
        this.#compiled.delete(oldest);
      }
      this.#compiled.set(source, compiled);
    }
    try {
      return compiled.call(args);
    } finally {
      if (compiled.isDead) this.#compiled.delete(source);
    }
  }
}

/** A failure of a design function as CouchDB answers it. */
export function functionError(failure: FunctionFailure): HttpError {
  if (failure.kind === 'compilation') return new HttpError(400, 'compilation_error', failure.message);
  return new HttpError(500, 'timeout', 'The request could not be processed in a reasonable amount of time.');
}

function thrownError(thrown: unknown): HttpError {
  // CouchDB's own words for a function that broke; they tell nothing of the document.
  if (isObject(thrown) && typeof thrown['name'] === 'string')
    return new HttpError(500, thrown['name'], '{[]}');
  return new HttpError(500, 'unknown_error', sentence(thrown));
}

function sentence(words: unknown): string {
  return typeof words === 'string' ? words : JSON.stringify(words);
}
