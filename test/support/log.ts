// An operational log that stores its lines in memory.
import { type OperationalLog } from '../../src/config/operational-log.ts';

export interface RememberedLog extends OperationalLog {
  readonly lines: { readonly level: string; readonly fields: object; readonly message: string }[];
}

export function rememberingLog(): RememberedLog {
  const lines: RememberedLog['lines'] = [];
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields, message });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
