// Reads the access log again: its file, or the lines in memory where it goes to stdout.
import { type AccessLog } from './access-log.ts';
import { type LineFilter, type LogLine, parseLogLine } from './line-filter.ts';
import { searchFile } from './log-file-search.ts';
import { type RecentLines } from './recent-lines.ts';

export interface LogSearch {
  readonly filter: LineFilter;
  readonly limit: number;
  /** `next` of the page before; undefined = from the newest line. */
  readonly cursor: string | undefined;
  readonly isAborted: () => boolean;
}

export interface LogPage {
  /** `memory` = the last lines of the process that answers. */
  readonly source: 'file' | 'memory' | 'off';
  /** The newest first. */
  readonly lines: readonly LogLine[];
  /** Asks for older lines; null = there are none. */
  readonly next: string | null;
  /** Time of the oldest line that was looked at; null = none was. */
  readonly searchedTo: string | null;
  /** True if the file was rotated or cut since the page before. */
  readonly isRotated: boolean;
}

/** Searches the log. Rejects with InvalidCursor, or with the error of the file system. */
export type LogReader = (search: LogSearch) => Promise<LogPage>;

export class InvalidCursor extends Error {}

const OFF: LogPage = { source: 'off', lines: [], next: null, searchedTo: null, isRotated: false };
/** Lines of the memory that are judged before requests go on. */
const STRIDE = 200;

/** Creates the reader of the log that is written to `target`: `stdout`, `off` or a path. */
export function createLogReader(target: string, { recent }: Pick<AccessLog, 'recent'>): LogReader {
  if (recent !== undefined) return (search) => searchMemory(recent, search);
  if (target === 'off' || target === 'stdout') return () => Promise.resolve(OFF);
  return (search) => searchLogFile(target, search);
}

async function searchLogFile(path: string, { cursor, ...search }: LogSearch): Promise<LogPage> {
  const from = cursor === undefined ? undefined : filePlaceIn(cursor);
  const { lines, next, searchedTo, isRotated } = await searchFile({ ...search, path, from });
  return {
    source: 'file',
    lines,
    next: next === undefined ? null : `${next.file}-${next.end}`,
    searchedTo: searchedTo ?? null,
    isRotated,
  };
}

function filePlaceIn(cursor: string): { readonly file: string; readonly end: number } {
  const [, file = '', end = ''] = /^(\d{1,20})-(\d{1,15})$/.exec(cursor) ?? [];
  if (file === '') throw new InvalidCursor('not a cursor of this log');
  return { file, end: Number(end) };
}

async function searchMemory(recent: RecentLines, search: LogSearch): Promise<LogPage> {
  const { filter, limit, cursor, isAborted } = search;
  if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) throw new InvalidCursor('not a cursor of this log');
  const lines: LogLine[] = [];
  let searchedTo: string | null = null;
  let at = Math.min(cursor === undefined ? recent.end : Number(cursor), recent.end);
  while (at > recent.start && lines.length < limit && !isAborted()) {
    at -= 1;
    const line = parseLogLine(recent.at(at));
    if (line !== undefined) {
      searchedTo = String(line['time']);
      if (filter.fits(line)) lines.push(line);
    }
    if (at % STRIDE === 0) await new Promise(setImmediate);
  }
  const next = at > recent.start ? String(at) : null;
  return { source: 'memory', lines, next, searchedTo, isRotated: false };
}
