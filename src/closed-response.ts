// Runs a callback when a response is closed, also if that has happened already.
import { type ServerResponse } from 'node:http';
import { contextOf } from './context.ts';

type Callback = (this: ServerResponse) => void;

const CALLBACKS = Symbol('called when the response is closed');

interface WatchedResponse extends ServerResponse {
  [CALLBACKS]?: Callback[];
}

/**
 * Calls `callback` once when the response is complete or its client has gone: at once if that has happened
 * already. Node emits `close` a single time, perhaps while a step waited, so what listens to the event itself
 * after a wait is never released. ESLint permits the event in this file only. Pinned by
 * test/hostile/h17-clients-that-leave.test.ts.
 * No step can pass on what a callback throws: thrown in an event, it would end the process, and no further
 * callback would run. It goes to the operational log (H7.4).
 */
export function onClosed(res: WatchedResponse, callback: Callback): void {
  if (res.destroyed) callSafely(res, callback);
  else if (res[CALLBACKS] !== undefined) res[CALLBACKS].push(callback);
  else {
    // One listener and one list: a closure for each callback would cost every request several.
    res[CALLBACKS] = [callback];
    res.on('close', callAll);
  }
}

function callAll(this: WatchedResponse): void {
  for (const callback of this[CALLBACKS] ?? []) callSafely(this, callback);
}

function callSafely(res: ServerResponse, callback: Callback): void {
  try {
    callback.call(res);
  } catch (thrown) {
    const { reportFault, id } = contextOf(res.req);
    reportFault(thrown, id);
  }
}
