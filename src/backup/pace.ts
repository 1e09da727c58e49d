// Decides how fast a backup reads CouchDB: a command at full speed, a job so that clients notice little.
import { setTimeout as delay } from 'node:timers/promises';

export interface Pace {
  /** `_bulk_get` requests at the same time. */
  readonly concurrency: number;
  /** A `_bulk_get` asks for documents with about so many bytes: CouchDB answers nobody else meanwhile. */
  readonly answerBytes: number;
  /**
   * Documents that are read together because their ids are neighbours: CouchDB finds them in the same place.
   * Such runs come in random order, because a writer can put large documents side by side (H39.7).
   */
  readonly neighbours: number;
  /** Rows of `_changes` in one request. */
  readonly changes: number;
  /** The pause after a request, as a multiple of the time that it took. */
  readonly restRatio: number;
}

export const FULL_SPEED: Pace = {
  concurrency: 4,
  answerBytes: 1024 * 1024,
  neighbours: 16,
  changes: 5000,
  restRatio: 0,
};

/**
 * A job shares the nodes with clients: CouchDB reads a large answer on all cores at once, so it is asked for
 * small ones, one at a time, and for nothing during two thirds of the time.
 */
export const BESIDE_CLIENTS: Pace = {
  concurrency: 1,
  answerBytes: 128 * 1024,
  neighbours: 1,
  changes: 1000,
  restRatio: 2,
};

/** A request that waited for a node that was away needs no pause as long as that. */
const MAX_REST_MS = 5000;
const STREAM_PART_BYTES = 1024 * 1024;

/** Waits after a request that took `ms`. An abort ends the pause. */
export async function rest({ restRatio }: Pace, ms: number, signal: AbortSignal | undefined): Promise<void> {
  const pause = Math.min(ms * restRatio, MAX_REST_MS);
  if (pause <= 0 || signal?.aborted === true) return;
  await delay(pause, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}

/** Yields the content of an attachment, with a pause after each part that was read. */
export async function* paced(
  content: AsyncIterable<Buffer>,
  pace: Pace,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  let begin = performance.now();
  let bytes = 0;
  for await (const part of content) {
    yield part;
    bytes += part.length;
    if (bytes < STREAM_PART_BYTES) continue;
    await rest(pace, performance.now() - begin, signal);
    [bytes, begin] = [0, performance.now()];
  }
}
