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

/** Not waited for, since a reader of stderr that stands still must not stop the requests; pino writes out the rest when the process ends. */
function stderr(): pino.DestinationStream {
  return pino.destination({ dest: 2, sync: false, maxLength: 1_048_576 });
}

/** The words and the place of an error, none of its other fields: a nano error carries its request's body, and with it passwords (M5). */
function shortError(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  return { name: error.name, message: maskTarget(error.message), code, stack: maskTarget(error.stack ?? '') };
}
