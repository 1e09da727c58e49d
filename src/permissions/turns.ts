// Lets one change of a database's permissions run at a time in this process. Between processes, CouchDB's last writer wins.

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` after all that was handed in before it for this database; one that fails lets the next one in. */
  async take<T>(database: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(database) ?? Promise.resolve()).then(work);
    const over = turn.catch(() => undefined);
    this.#last.set(database, over);
    try {
      return await turn;
    } finally {
      if (this.#last.get(database) === over) this.#last.delete(database);
    }
  }
}
