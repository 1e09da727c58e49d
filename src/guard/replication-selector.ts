// Limits the selector of a replication job. CouchDB rewrites it each time that it reads the job (H20).
import { SELECTOR_PATH_BYTES } from '../body/selector-paths.ts';
import { isJsonObject } from '../json/object.ts';

/** CouchDB rewrites a selector several times: 100 000 values take 280 MiB. */
const MOST_VALUES = 10_000;

/** What is left of the limits while a selector is walked through. */
interface Room {
  values: number;
  pathBytes: number;
}

/** True for an object with few values and short paths to them, as in the body of `_find`. */
export function isSmallSelector(value: unknown): boolean {
  return isJsonObject(value) && fits(value, 0, { values: MOST_VALUES, pathBytes: SELECTOR_PATH_BYTES });
}

/** `above` is the length of the path to the value. The body was parsed, so its depth is limited. */
function fits(value: unknown, above: number, room: Room): boolean {
  room.values -= 1;
  room.pathBytes -= above;
  if (room.values < 0 || room.pathBytes < 0) return false;
  if (Array.isArray(value)) return value.every((entry) => fits(entry, above, room));
  if (!isJsonObject(value)) return true;
  return Object.entries(value).every(([name, inner]) => {
    return fits(inner, above + Buffer.byteLength(name) + 1, room);
  });
}
