// Builds and queries the views of one database: PouchDB's index, our sandbox. Reading requests is view-endpoints.ts's business.
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

export interface ViewResult {
  readonly total_rows?: number;
  readonly offset?: number;
  readonly rows: readonly Json[];
}

export class Views {
  readonly #storage: () => Storage;
  readonly #functions: FunctionHost;
  readonly #engine: MapReduce;
  /** What broke the last build or reduce of a view, by function source: PouchDB's engine swallows it. */
  readonly #broken = new Map<string, Error>();

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

  /** The view of a design document. Throws CouchDB's 404s. */
  async definition(design: string, name: string): Promise<View> {
    const doc = await this.#storage().get(`_design/${design}`);
    const views = doc['views'];
    const view = isObject(views) && Object.hasOwn(views, name) ? views[name] : undefined;
    if (!isObject(view) || typeof view['map'] !== 'string') throw new NotFound('missing_named_view');
    return { map: view['map'], reduce: typeof view['reduce'] === 'string' ? view['reduce'] : undefined };
  }

  /** Runs a query; the index is brought up to date first. Throws what broke one of its functions. */
  async query(design: string, name: string, view: View, options: Json): Promise<ViewResult> {
    if (design.includes('/') || name.includes('/'))
      throw new HttpError(
        501,
        'not_implemented',
        'The embedded node does not do views with a slash in their name.',
      );
    this.#broken.delete(view.map);
    if (view.reduce !== undefined) this.#broken.delete(view.reduce);
    const result = (await this.#engine.query.call(
      this.#storage(),
      `${design}/${name}`,
      options,
    )) as ViewResult;
    const broken =
      this.#broken.get(view.map) ?? (view.reduce === undefined ? undefined : this.#broken.get(view.reduce));
    if (broken !== undefined) throw broken;
    return result;
  }

  async cleanUp(): Promise<void> {
    await this.#engine.viewCleanup.call(this.#storage());
  }

  #map(source: string, doc: object, emit: Emit): void {
    try {
      for (const [key, value] of this.#functions.map(source, doc)) emit(key, value);
    } catch (error) {
      this.#broken.set(source, error as Error);
      // The engine ignores a map function that throws and would index the rest without this document for good. It asks for the id
      // next: that error ends the build before the batch is written, and the next query tries again.
      if (error instanceof FunctionFailure) Object.defineProperty(doc, '_id', { get: () => fail(error) });
    }
  }

  #reduce(source: string, keys: unknown, values: unknown, rereduce: boolean): unknown {
    try {
      const builtIn = builtInReduce(source);
      if (builtIn !== undefined) return builtIn(values as unknown[]);
      return this.#functions.reduce(source, keys, values, rereduce);
    } catch (error) {
      this.#broken.set(source, error as Error);
      return null;
    }
  }
}

function fail(error: Error): never {
  throw error;
}
