// Searches a file of the access log from its end, in chunks: requests go on between them.
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type LineFilter, type LogLine, parseLogLine } from './line-filter.ts';

/** A place in a file: bytes before `end` are not searched yet. */
export interface FilePlace {
  /** The inode, which stays when the file is renamed. */
  readonly file: string;
  readonly end: number;
}

export interface FileSearch {
  readonly path: string;
  readonly filter: LineFilter;
  readonly limit: number;
  /** Undefined = from the end of the file. */
  readonly from: FilePlace | undefined;
  /** Called between chunks; true ends the search. */
  readonly isAborted: () => boolean;
  /** Bytes to read at most. */
  readonly mostBytes?: number;
}

export interface Found {
  /** The newest first. */
  readonly lines: readonly LogLine[];
  /** Where to go on; undefined = the beginning of the file, or of the time, was reached. */
  readonly next: FilePlace | undefined;
  /** Time of the oldest line that was read, as the log has it. */
  readonly searchedTo: string | undefined;
  /** True if the file of `from` is not the one that is written now, or was cut. */
  readonly isRotated: boolean;
}

/** About a hundred lines: parsing all of them takes about a millisecond. */
const CHUNK_BYTES = 65_536;
/** Read by one request, at most; the client asks for the rest. */
export const MAX_BYTES = 134_217_728;
/** Longer text is not a line of the access log. */
const MAX_LINE_BYTES = 1_048_576;
/** All lines of an answer. */
const MAX_RESULT_BYTES = 4_194_304;
/** Lines of several workers are not in the order of their times. */
const DISORDER_MS = 60_000;
const LINE_FEED = 10;

/** Runs the search. Rejects with the error of the file system if the file cannot be read. */
export async function searchFile(search: FileSearch): Promise<Found> {
  const { file, isRotated } = await openAt(search.path, search.from);
  try {
    const { size } = await file.stat();
    const { ino } = await file.stat({ bigint: true });
    const wanted = search.from?.end ?? size;
    // A file that was cut has begun again: its end is the newest line.
    const end = wanted > size ? size : isRotated === 'lost' ? size : wanted;
    const reader = new BackwardReader(file, search, end);
    await reader.run();
    const next = reader.unread === undefined ? undefined : { file: String(ino), end: reader.unread };
    const { lines, searchedTo } = reader;
    return { lines, next, searchedTo, isRotated: isRotated !== 'no' || wanted > size || reader.wasCut };
  } finally {
    await file.close();
  }
}

/**
 * Opens the file of a place. After a rotation it has another name in the same folder; if it is gone, the
 * search begins again at the file that is written now.
 */
async function openAt(
  path: string,
  from: FilePlace | undefined,
): Promise<{ readonly file: FileHandle; readonly isRotated: 'no' | 'found' | 'lost' }> {
  const file = await open(path, 'r');
  if (from === undefined || String((await file.stat({ bigint: true })).ino) === from.file)
    return { file, isRotated: 'no' };
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(basename(path)) && !each.endsWith('.gz'))) {
    const other = join(folder, name);
    const facts = await stat(other, { bigint: true }).catch(() => undefined);
    if (facts?.isFile() !== true || String(facts.ino) !== from.file) continue;
    const rotated = await open(other, 'r').catch(() => undefined);
    if (rotated === undefined) break;
    await file.close();
    return { file: rotated, isRotated: 'found' };
  }
  return { file, isRotated: 'lost' };
}

/** Reads a file backwards and keeps the lines that fit. */
class BackwardReader {
  readonly lines: LogLine[] = [];
  searchedTo: string | undefined = undefined;
  /** True if the file became shorter while it was read. */
  wasCut = false;
  /** Offset of the end of what was not judged; undefined = nothing is left. */
  unread: number | undefined;
  readonly #file: FileHandle;
  readonly #search: FileSearch;
  readonly #needles: readonly Buffer[];
  #resultBytes = 0;

  constructor(file: FileHandle, search: FileSearch, end: number) {
    this.#file = file;
    this.#search = search;
    this.#needles = search.filter.needles.map((needle) => Buffer.from(needle));
    this.unread = end === 0 ? undefined : end;
  }

  async run(): Promise<void> {
    const { isAborted, mostBytes = MAX_BYTES } = this.#search;
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    let start = this.unread ?? 0;
    let searched = 0;
    /** The beginning of this line is in the chunk before. */
    let rest: Buffer = Buffer.alloc(0);
    while (start > 0 && searched < mostBytes && !isAborted()) {
      const length = Math.min(CHUNK_BYTES, start);
      start -= length;
      const { bytesRead } = await this.#file.read(chunk, 0, length, start);
      searched += bytesRead;
      if (bytesRead < length) {
        this.wasCut = true;
        this.unread = undefined;
        return;
      }
      const bytes = Buffer.concat([chunk.subarray(0, length), rest]);
      const first = start === 0 ? 0 : bytes.indexOf(LINE_FEED) + 1;
      // Without a line feed, the whole chunk is part of one line.
      rest = first === 0 && start > 0 ? bytes : bytes.subarray(0, first);
      if (first > 0 || start === 0) {
        if (!this.#judge(bytes, first, start)) return;
        this.unread = start + first;
      }
      if (rest.length > MAX_LINE_BYTES) {
        // Its end has been seen; what is left of it is skipped as text that is not JSON.
        rest = Buffer.alloc(0);
        this.unread = start;
      }
    }
    if (start === 0) this.unread = undefined;
  }

  /** Judges the lines of `bytes` from `first` on, the last one first. False = the search is complete. */
  #judge(bytes: Buffer, first: number, start: number): boolean {
    const time = timeAt(bytes, first);
    if (time !== undefined) this.searchedTo = time;
    const mayFit = this.#needles.every((needle) => bytes.includes(needle, first));
    let end = bytes.length;
    while (mayFit && end > first) {
      // A negative offset would count from the end of the buffer: an empty first line has no line before it.
      const feed = end < 2 ? -1 : bytes.lastIndexOf(LINE_FEED, end - 2);
      const from = Math.max(feed + 1, first);
      this.#take(bytes.subarray(from, end));
      end = from;
      if (this.lines.length >= this.#search.limit || this.#resultBytes > MAX_RESULT_BYTES) {
        const left = start + end;
        this.unread = left === 0 ? undefined : left;
        return false;
      }
    }
    const { since } = this.#search.filter;
    if (since === undefined || time === undefined || Date.parse(time) >= since - DISORDER_MS) return true;
    this.unread = undefined;
    return false;
  }

  #take(bytes: Buffer): void {
    if (!this.#needles.every((needle) => bytes.includes(needle))) return;
    const line = parseLogLine(bytes.toString('utf8'));
    if (line === undefined || !this.#search.filter.fits(line)) return;
    this.lines.push(line);
    this.#resultBytes += bytes.length;
  }
}

const HEAD = Buffer.from('{"time":"');

/** The time of the line that begins at `from`; audit/line.ts writes it first. */
function timeAt(bytes: Buffer, from: number): string | undefined {
  if (bytes.indexOf(HEAD, from) !== from) return undefined;
  const text = bytes.toString('latin1', from + HEAD.length, from + HEAD.length + 24);
  return Number.isNaN(Date.parse(text)) ? undefined : text;
}
