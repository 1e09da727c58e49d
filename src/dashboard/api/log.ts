// Requests about the access log.
import { type LogLine } from '../log-words.ts';
import { call } from './http.ts';

export type { LogLine };

export interface LogPage {
  /** `memory` = the last lines of the process that answered. */
  readonly source: 'file' | 'memory' | 'off';
  /** The newest first. */
  readonly lines: readonly LogLine[];
  readonly next: string | null;
  readonly searched_to: string | null;
  readonly rotated: boolean;
}

/** Conditions by name; empty ones are left out. */
export type LogFilter = Readonly<Record<string, string>>;

export async function readLog(
  filter: LogFilter,
  cursor: string | undefined,
  signal: AbortSignal,
): Promise<LogPage> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) if (value !== '') query.set(name, value);
  if (cursor !== undefined) query.set('cursor', cursor);
  return (await call<LogPage>({ path: `_api/v2/log?${query.toString()}`, signal })).body;
}
