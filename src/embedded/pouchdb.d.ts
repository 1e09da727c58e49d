// Declares the calls of the PouchDB packages that this folder makes. The published types are not usable: they
// add the DOM globals and an outdated global Buffer to the whole project.

declare module 'pouchdb-core' {
  interface PouchDbStatic {
    new (path: string, options: object): object;
    plugin(plugin: unknown): PouchDbStatic;
    replicate(source: object, target: object, options: object): unknown;
    fetch(url: string, options: object): Promise<unknown>;
  }
  const PouchDB: PouchDbStatic;
  export default PouchDB;
}

declare module 'pouchdb-adapter-http' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-adapter-leveldb' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-adapter-memory' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-find' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-replication' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-abstract-mapreduce' {
  export type Emit = (key: unknown, value: unknown) => void;

  export interface MapReduce {
    query(this: object, view: string, options: object): Promise<unknown>;
    viewCleanup(this: object): Promise<unknown>;
  }

  export default function createAbstractMapReduce(
    localDocName: string,
    mapper: (source: string, emit: Emit) => (doc: object) => void,
    reducer: (source: string) => (keys: unknown, values: unknown, rereduce: boolean) => unknown,
    validator: (ddoc: object, viewName: string) => void,
  ): MapReduce;
}
