// Writes the operational log: JSON lines on stderr about Couchgate itself.
import pino, { type Logger } from 'pino';
import sonicBoom from 'sonic-boom';
import { withoutControls } from './log-text.ts';
import { maskTarget } from './mask.ts';

const { SonicBoom } = sonicBoom;

/**
 * Creates the logger. It writes only the fields that it is given, and of errors only name, message, code and
 * stack.
 */
export function createOperationalLog(level: string, destination: pino.DestinationStream = stderr()): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: withoutControls },
      serializers: { err: shortError, error: shortError },
    },
    destination,
  );
}

/**
 * Asynchronous: a reader of stderr that stops must not block requests. What is left is written on exit. If
 * stderr cannot be written (full disk, closed terminal), lines are lost. pino's own destination would end the
 * process then, and try for ever to write on exit (H42).
 */
function stderr(): pino.DestinationStream {
  const sink = new SonicBoom({ dest: 2, sync: false, maxLength: 1_048_576 });
  sink.on('error', () => undefined);
  process.on('exit', () => {
    try {
      sink.flushSync();
    } catch {
      // Nobody can be told.
    }
  });
  return sink;
}

/** Drops all other fields of an error: a nano error contains the request body, and with it passwords (M5). */
function shortError(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  return { name: error.name, message: maskTarget(error.message), code, stack: maskTarget(error.stack ?? '') };
}
