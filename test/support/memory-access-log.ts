// An access log in memory.
import { type AccessLog } from '../../src/audit/access-log.ts';

export interface MemoryAccessLog extends AccessLog {
  /** A JSON line for each request that is over. */
  readonly lines: string[];
}

export function memoryAccessLog(): MemoryAccessLog {
  const lines: string[] = [];
  return {
    lines,
    enabled: true,
    accepting: true,
    dropped: 0,
    write: (line) => void lines.push(line),
    reopen: () => undefined,
    close: () => Promise.resolve(),
  };
}
