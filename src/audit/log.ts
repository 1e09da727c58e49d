// Writes the operational log: what happens to Couchgate itself, as JSON lines on stderr. Requests are the access log's business.
import pino, { type Logger } from 'pino';
import { maskTarget } from './mask.ts';

/** A logger that never writes what it was not given field by field: no serialisers for requests, no bindings but the time. */
export function createOperationalLog(level: string, destination: pino.DestinationStream = stderr()): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: shortError, error: shortError },
    },
    destination,
  );
}

/** Written at once: there are few lines, and the last one before an exit is the one that matters. */
function stderr(): pino.DestinationStream {
  return pino.destination({ dest: 2, sync: true });
}

/** The words and the place of an error, none of its other fields: a nano error carries its request's body, and with it passwords (M5). */
function shortError(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  return { name: error.name, message: maskTarget(error.message), code, stack: maskTarget(error.stack ?? '') };
}
