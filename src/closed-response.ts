// Runs a callback when a response is closed, also if that has happened already.
import { type ServerResponse } from 'node:http';
import { contextOf } from './context.ts';

/**
 * Calls `callback` once when the response is complete or its client has gone: at once if that has happened
 * already. Node emits `close` a single time, perhaps while a step waited, so what listens to the event itself
 * after a wait is never released. ESLint permits the event in this file only. Pinned by
 * test/hostile/h17-clients-that-leave.test.ts.
 * No step can pass on what a callback throws: thrown in an event, it would end the process, and no further
 * callback would run. It goes to the operational log (H7.4).
 */
export function onClosed(res: ServerResponse, callback: (this: ServerResponse) => void): void {
  const runSafely = (): void => {
    try {
      callback.call(res);
    } catch (thrown) {
      const { reportFault, id } = contextOf(res.req);
      reportFault(thrown, id);
    }
  };
  if (res.destroyed) runSafely();
  else res.on('close', runSafely);
}
