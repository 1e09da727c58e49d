// Writes the JSON of large values in pieces, so that it does not block the event loop (H33).
import { type ExactNumber } from './exact-numbers.ts';

/** An object or an array whose members are being written. */
interface Level {
  readonly members: Readonly<Record<string | number, unknown>>;
  /** Undefined for an array. */
  readonly names: readonly string[] | undefined;
  readonly size: number;
  next: number;
}

/**
 * Yields the text of `writeJson`, for what the parsers of this folder return, and objects and arrays made of
 * it. A piece has about `length` UTF-16 code units, some times as many if most characters are escaped, and
 * does not end within a surrogate pair. Needs memory for one piece: `writeJson` has a mark for each exact
 * number, and takes a second for 8 MB of them. Is not recursive. Pinned to `writeJson` by
 * test/property/json-numbers.test.ts.
 */
export function* jsonPieces(value: unknown, length: number): Generator<string> {
  const levels: Level[] = [];
  let text = '';
  for (let member = value; ;) {
    if (typeof member === 'object' && member !== null) {
      const level = levelOf(member);
      levels.push(level);
      text += level.names === undefined ? '[' : '{';
    } else if (typeof member === 'string' && member.length > length) {
      yield text;
      yield* stringPieces(member, length);
      text = '';
    } else text += scalarText(member);
    let level = levels.at(-1);
    while (level !== undefined && level.next === level.size) {
      text += level.names === undefined ? ']' : '}';
      levels.pop();
      level = levels.at(-1);
    }
    if (level === undefined) break;
    if (text.length >= length) {
      yield text;
      text = '';
    }
    if (level.next > 0) text += ',';
    const name = level.names?.[level.next];
    if (name !== undefined && name.length > length) {
      yield text;
      yield* stringPieces(name, length);
      text = ':';
    } else if (name !== undefined) text += `${JSON.stringify(name)}:`;
    member = level.members[name ?? level.next];
    level.next += 1;
  }
  yield text;
}

function scalarText(member: unknown): string {
  if (typeof member === 'function') return (member as ExactNumber)();
  // As JSON.stringify in an array; `levelOf` leaves it out of an object.
  return member === undefined ? 'null' : JSON.stringify(member);
}

function levelOf(object: object): Level {
  const members = object as Level['members'];
  if (Array.isArray(object)) return { members, names: undefined, size: object.length, next: 0 };
  const all = Object.keys(object);
  const hasAbsent = all.some((name) => members[name] === undefined);
  const names = hasAbsent ? all.filter((name) => members[name] !== undefined) : all;
  return { members, names, size: names.length, next: 0 };
}

/** Yields a quoted text. */
function* stringPieces(text: string, length: number): Generator<string> {
  yield '"';
  for (const slice of slicesOf(text, length)) yield JSON.stringify(slice).slice(1, -1);
  yield '"';
}

/** Yields a text in slices of at most `length` UTF-16 code units that do not divide a surrogate pair. */
export function* slicesOf(text: string, length: number): Generator<string> {
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + length, text.length);
    if (to < text.length && isHighSurrogate(text.charCodeAt(to - 1))) to -= 1;
    yield text.slice(from, to);
    from = to;
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}
