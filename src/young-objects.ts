// Keeps V8 from creating the objects of a request among old ones.
import { setFlagsFromString } from 'node:v8';

/**
 * Makes V8 create every object in the young generation. By default, it creates the objects of a place in the
 * code in the old generation if most of them survived the first collections. Right after the start, the young
 * generation is so small that a request outlives several. Later, such an object is dead at once, but stays,
 * with all that it refers to, until the next full collection: V8 then copied 10 KB of each write in pauses of
 * 12 ms, a tenth of all time. Without, a pause takes 1 ms (docs/performance.md).
 * V8 also creates a function there that is assigned to a property where it is written
 * (`this.end = () => …`). That cannot be turned off; a lint rule forbids it.
 * Call this before the first request.
 */
export function createObjectsYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
