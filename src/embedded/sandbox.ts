// Runs one JavaScript function of a design document in QuickJS: no host objects, bounded time and memory. What it is for is functions.ts's business.
import { getQuickJS, type QuickJSContext, type QuickJSRuntime } from 'quickjs-emscripten';

/** How long design functions together may hold the event loop before it turns. */
const TURN_LIMIT_MS = 1000;
const MEMORY_LIMIT_BYTES = 64 * 1024 * 1024;
const STACK_LIMIT_BYTES = 256 * 1024;

const quickjs = await getQuickJS();

/** A design function that used up its time, memory or stack, or does not compile. Its state is gone. */
export class FunctionFailure extends Error {
  readonly kind: 'compilation' | 'limit';

  constructor(kind: 'compilation' | 'limit', message: string) {
    super(message);
    this.kind = kind;
  }
}

export type Outcome = { readonly value?: unknown; readonly emitted: unknown } | { readonly thrown: unknown };

// Only text goes in and out, so no object of the host is ever within reach. The function cannot see these names' values of another
// function: each has a runtime of its own. docs.couchdb.org/en/stable/query-server/javascript.html
const PRELUDE = `
  var isArray = Array.isArray, toJSON = JSON.stringify, log = function () {};
  var sum = function (values) { var total = 0; for (var i = 0; i < values.length; i += 1) total += values[i]; return total; };
  var require = function () { throw new Error('require() is not supported by the embedded node'); };
  var emit;
  var __call = (function (stringify, parse) {
    return function (text) {
      var emitted = [];
      emit = function (key, value) { emitted.push([key === undefined ? null : key, value === undefined ? null : value]); };
      try {
        var value = __function.apply(null, parse(text));
        return stringify({ value: value, emitted: emitted });
      } catch (error) {
        if (error instanceof Error) return stringify({ thrown: { name: error.name, message: error.message } });
        return stringify({ thrown: error === undefined ? null : error });
      }
    };
  })(JSON.stringify, JSON.parse);
`;

export class SandboxedFunction {
  readonly #runtime: QuickJSRuntime;
  readonly #context: QuickJSContext;
  #dead = false;

  /** Throws `FunctionFailure` when the source is no function expression. */
  constructor(source: string) {
    this.#runtime = quickjs.newRuntime();
    this.#runtime.setMemoryLimit(MEMORY_LIMIT_BYTES);
    this.#runtime.setMaxStackSize(STACK_LIMIT_BYTES);
    this.#context = this.#runtime.newContext();
    const body = source.trim().replace(/;+$/, '');
    this.#evaluate(PRELUDE);
    this.#evaluate(`var __function = (${body}\n);`);
    this.#evaluate(`if (typeof __function !== 'function') throw new Error('not a function');`);
  }

  get isDead(): boolean {
    return this.#dead;
  }

  /** Applies the function to JSON values. Throws `FunctionFailure` when a limit is met; the function is dead then. */
  call(args: readonly unknown[]): Outcome {
    const context = this.#context;
    const call = context.getProp(context.global, '__call');
    const text = context.newString(JSON.stringify(args));
    try {
      const answer = this.#timed(() => {
        const result = context.callFunction(call, context.undefined, text);
        if (result.error) {
          result.error.dispose();
          throw new FunctionFailure('limit', 'the function used up its time or memory');
        }
        const json = context.getString(result.value);
        result.value.dispose();
        return json;
      });
      return readOutcome(answer);
    } finally {
      call.dispose();
      text.dispose();
      if (this.#dead) this.#free();
    }
  }

  dispose(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#free();
  }

  #evaluate(code: string): void {
    try {
      this.#timed(() => {
        const result = this.#context.evalCode(code);
        if (result.error) {
          const error: unknown = this.#context.dump(result.error);
          result.error.dispose();
          throw new FunctionFailure('compilation', messageOf(error));
        }
        result.value.dispose();
      });
    } catch (error) {
      this.#free();
      throw error;
    }
  }

  #timed<T>(work: () => T): T {
    const started = performance.now();
    const deadline = started + timeLeftInThisTurn();
    this.#runtime.setInterruptHandler(() => performance.now() > deadline);
    try {
      return work();
    } catch (error) {
      this.#dead = true;
      if (error instanceof FunctionFailure) throw error;
      throw new FunctionFailure('limit', 'the function broke its sandbox');
    } finally {
      spendInThisTurn(performance.now() - started);
    }
  }

  #free(): void {
    try {
      this.#context.dispose();
      this.#runtime.dispose();
    } catch {
      // A runtime that ran out of memory may refuse to be taken apart; it is never entered again.
    }
  }
}

function readOutcome(json: string): Outcome {
  try {
    const outcome: unknown = JSON.parse(json);
    if (typeof outcome === 'object' && outcome !== null && !Array.isArray(outcome)) return outcome as Outcome;
  } catch {
    // Falls through: the function replaced what its own sandbox uses to answer.
  }
  return { thrown: { name: 'Error', message: 'the function gave no answer' } };
}

function messageOf(error: unknown): string {
  const message: unknown =
    typeof error === 'object' && error !== null && 'message' in error ? error.message : undefined;
  return typeof message === 'string' ? message : 'out of time or memory';
}

let spentMs = 0;

function timeLeftInThisTurn(): number {
  return Math.max(1, TURN_LIMIT_MS - spentMs);
}

function spendInThisTurn(ms: number): void {
  if (spentMs === 0) setImmediate(() => (spentMs = 0));
  spentMs += ms;
}
