// Closes what a suite or a helper has started, also if a later start failed: with an open server, a test file
// runs until the runner's limit.
import { after } from 'node:test';

export interface Closable {
  close(): unknown;
}

/** Open resources. */
export class Started {
  readonly #open: Closable[] = [];

  /** Waits for a start and records what it started. */
  async add<T extends Closable>(starting: T | Promise<T>): Promise<T> {
    const thing = await starting;
    this.#open.push(thing);
    return thing;
  }

  /** Closes everything, the last started first. Rejects with the first error after all was tried. */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (const thing of this.#open.splice(0).reverse()) {
      try {
        await thing.close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

/**
 * For the hook `before` of a suite: `gate = await started(startCouchgate())`. What was started is closed
 * after the suite in which this function was called. node:test runs `after` hooks also if a `before` hook
 * failed.
 */
export function closedAfterSuite(): <T extends Closable>(starting: T | Promise<T>) => Promise<T> {
  const open = new Started();
  after(() => open.close());
  return (starting) => open.add(starting);
}

/** For helpers that start several things: closes what `start` has added if it rejects. */
export async function startTogether<T>(start: (open: Started) => Promise<T>): Promise<T> {
  const open = new Started();
  try {
    return await start(open);
  } catch (error) {
    await open.close();
    throw error;
  }
}
