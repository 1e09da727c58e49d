// Answers GET /_api/v2/log: lines of the access log, the newest first.
import { type Response } from 'express';
import { onClosed } from '../closed-response.ts';
import { known } from '../context.ts';
import { BadRequest, HttpError, TooManyRequests } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';

/** A page of lines, as the reader of the log finds it. */
export interface FoundLines {
  readonly source: string;
  readonly lines: readonly object[];
  readonly next: string | null;
  readonly searchedTo: string | null;
  readonly isRotated: boolean;
}

export interface LogQuery {
  /** The conditions by name. */
  readonly conditions: ReadonlyMap<string, string>;
  readonly limit: number;
  readonly cursor: string | undefined;
  /** True once the client has gone. */
  readonly isAborted: () => boolean;
}

export interface LogDeps {
  /** Rejects with a BadRequest for an invalid condition or cursor. */
  readonly searchLog: (query: LogQuery) => Promise<FoundLines>;
}

const CONDITIONS: ReadonlySet<string> = new Set([
  'principal',
  'database',
  'operation',
  'decision',
  'status',
  'address',
  'management',
  'since',
  'until',
  'without',
]);
const OTHERS: ReadonlySet<string> = new Set(['limit', 'cursor']);
const USUAL_LIMIT = 50;
const MAX_LINES = 500;
/** Each reads a file; more at once would only wait for the disk. */
const MAX_SEARCHES = 4;

/**
 * Creates the handler. Reading the log is a management event of the log itself (`read log`): who watches can
 * be watched. Only the owner may, because lines have the names, addresses and paths of every client.
 */
export function logHandlers({ searchLog }: LogDeps): Pick<Answers, 'api-log'> {
  let running = 0;
  return {
    async 'api-log'(_req, res, context) {
      const query = queryIn(known(context.target, 'target').query, res);
      if (running >= MAX_SEARCHES) throw new TooManyRequests('Too many searches of the log are running.', 1);
      running += 1;
      try {
        const found = await searchLog(query).catch(asAnswer);
        context.outcome.change = { action: 'read log', lines: found.lines.length };
        const { source, lines, next, searchedTo, isRotated } = found;
        const body = { source, lines, next, searched_to: searchedTo, rotated: isRotated };
        sendJson(res, 200, body, { 'Cache-Control': 'no-store' });
      } finally {
        running -= 1;
      }
    },
  };
}

function queryIn(query: string, res: Response): LogQuery {
  const conditions = new Map<string, string>();
  let limit = USUAL_LIMIT;
  let cursor: string | undefined;
  for (const [name, value] of new URLSearchParams(query)) {
    if (!CONDITIONS.has(name) && !OTHERS.has(name)) throw new BadRequest(`Unknown parameter: ${name}`);
    if (conditions.has(name)) throw new BadRequest(`\`${name}\` is given twice`);
    if (name === 'cursor') cursor = value;
    else if (name === 'limit') limit = limitIn(value);
    else conditions.set(name, value);
  }
  let hasGone = false;
  onClosed(res, () => (hasGone = true));
  return { conditions, limit, cursor, isAborted: () => hasGone };
}

function limitIn(text: string): number {
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > MAX_LINES) throw new BadRequest(`\`limit\` must be 1 to ${MAX_LINES}`);
  return limit;
}

/** The name of the file goes to the operational log only. */
function asAnswer(error: unknown): never {
  if (error instanceof HttpError) throw error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  throw new HttpError(503, 'service_unavailable', `The access log cannot be read (${code}).`);
}
