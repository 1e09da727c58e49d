// Builds and queries the views of one database: PouchDB keeps the index, QuickJS runs the functions.
import createAbstractMapReduce, { type Emit, type MapReduce } from 'pouchdb-abstract-mapreduce';
import { HttpError, NotFound } from '../http-errors.ts';
import { builtInReduce } from './built-in-reduces.ts';
import { type FunctionHost } from './functions.ts';
import { isObject, type Json } from './json.ts';
import { type Storage } from './pouch.ts';
import { FunctionFailure } from './sandbox.ts';

interface View {
  readonly map: string;
  readonly reduce: string | undefined;
}

/** The result of a query; PouchDB's rows, with `total_rows` and `offset` for a map query. */
export interface ViewResult {
  readonly total_rows?: number;
  readonly offset?: number;
  readonly rows: readonly Json[];
}

/** The views of one database. */
export class Views {
  readonly #storage: () => Storage;
  readonly #functions: FunctionHost;
  readonly #engine: MapReduce;
  /** The error of the last build or reduce by function source, because PouchDB's engine ignores it. */
  readonly #failures = new Map<string, Error>();

  constructor(storage: () => Storage, functions: FunctionHost) {
    this.#storage = storage;
    this.#functions = functions;
    this.#engine = createAbstractMapReduce(
      'mrviews',
      (source, emit) => (doc) => this.#map(source, doc, emit),
      (source) => (keys, values, rereduce) => this.#reduce(source, keys, values, rereduce),
      () => undefined,
    );
  }

  /** The view of a design document. Throws CouchDB's 404 if either is missing. */
  async definition(design: string, name: string): Promise<View> {
    const doc = await this.#storage().get(`_design/${design}`);
    const views = doc['views'];
    const view = isObject(views) && Object.hasOwn(views, name) ? views[name] : undefined;
    if (!isObject(view) || typeof view['map'] !== 'string') throw new NotFound('missing_named_view');
    return { map: view['map'], reduce: typeof view['reduce'] === 'string' ? view['reduce'] : undefined };
  }

  /**
   * Updates the index and runs a query. Throws the error of a failed function, and 501 for a `/` in a name.
   */
  async query(design: string, name: string, view: View, options: Json): Promise<ViewResult> {
    if (design.includes('/') || name.includes('/'))
      throw new HttpError(
        501,
        'not_implemented',
        'The embedded node does not support views with a slash in their name.',
      );
    this.#failures.delete(view.map);
    if (view.reduce !== undefined) this.#failures.delete(view.reduce);
    const result = (await this.#engine.query.call(
      this.#storage(),
      `${design}/${name}`,
      options,
    )) as ViewResult;
    const failure =
      this.#failures.get(view.map) ??
      (view.reduce === undefined ? undefined : this.#failures.get(view.reduce));
    if (failure !== undefined) throw failure;
    return result;
  }

  /** Deletes indexes that no design document uses. */
  async cleanUp(): Promise<void> {
    await this.#engine.viewCleanup.call(this.#storage());
  }

  #map(source: string, doc: object, emit: Emit): void {
    try {
      for (const [key, value] of this.#functions.map(source, doc)) emit(key, value);
    } catch (error) {
      this.#failures.set(source, error as Error);
      // The engine ignores a map function that throws, and would leave this document out of the index for
      // ever. It reads `_id` next. An error there aborts the build before the batch is written; the next
      // query retries.
      if (error instanceof FunctionFailure) Object.defineProperty(doc, '_id', { get: () => fail(error) });
    }
  }

  #reduce(source: string, keys: unknown, values: unknown, rereduce: boolean): unknown {
    try {
      const builtIn = builtInReduce(source);
      if (builtIn !== undefined) return builtIn(values as unknown[]);
      return this.#functions.reduce(source, keys, values, rereduce);
    } catch (error) {
      this.#failures.set(source, error as Error);
      return null;
    }
  }
}

function fail(error: Error): never {
  throw error;
}
