// Runs a callback when a response is closed, also if that has happened already.
import { type ServerResponse } from 'node:http';

/**
 * Calls `callback` once when the response is complete or its client has gone: at once if that has happened
 * already. Node emits `close` a single time, perhaps while a step waited, so what listens to the event itself
 * after a wait is never released. ESLint permits the event in this file only. Pinned by
 * test/hostile/h17-clients-that-leave.test.ts.
 */
export function onClosed(res: ServerResponse, callback: (this: ServerResponse) => void): void {
  if (res.destroyed) callback.call(res);
  else res.on('close', callback);
}
