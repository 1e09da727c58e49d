// An access log that stores its lines in memory.
import { type AccessLog } from '../../src/audit/access-log.ts';

export interface MemoryAccessLog extends AccessLog {
  /** One JSON line per finished request. */
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
