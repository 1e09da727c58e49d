// Runs one JavaScript function of a design document in QuickJS, without host objects and with limits on time,
// memory and stack.
import { writeJson } from '../json/exact-numbers.ts';
import { getQuickJS, type QuickJSContext, type QuickJSRuntime } from 'quickjs-emscripten';

/** Time that all design functions together may use in one iteration of the event loop. */
const LOOP_ITERATION_LIMIT_MS = 1000;
const MEMORY_LIMIT_BYTES = 64 * 1024 * 1024;
const STACK_LIMIT_BYTES = 256 * 1024;

const quickjs = await getQuickJS();

/** A design function exceeded a limit or does not compile. Its runtime is disposed. */
export class FunctionFailure extends Error {
  readonly kind: 'compilation' | 'limit';

  constructor(kind: 'compilation' | 'limit', message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The result of a call: the return value and the `emit` rows, or the thrown value. All are JSON values. */
export type Outcome = { readonly value?: unknown; readonly emitted: unknown } | { readonly thrown: unknown };

// Arguments and results are JSON text, so that no host object is reachable. Each function has its own
// runtime, so that functions share no variables. Names:
// docs.couchdb.org/en/stable/query-server/javascript.html
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

/** One compiled function with its own QuickJS runtime. */
export class SandboxedFunction {
  readonly #runtime: QuickJSRuntime;
  readonly #context: QuickJSContext;
  #terminated = false;

  /** Compiles the source. Throws `FunctionFailure` if it is not a function expression. */
  constructor(source: string) {
    this.#runtime = quickjs.newRuntime();
    this.#runtime.setMemoryLimit(MEMORY_LIMIT_BYTES);
    this.#runtime.setMaxStackSize(STACK_LIMIT_BYTES);
    this.#context = this.#runtime.newContext();
    const body = source.trim().replace(/(?<!;);+$/, '');
    this.#evaluate(PRELUDE);
    this.#evaluate(`var __function = (${body}\n);`);
    this.#evaluate(`if (typeof __function !== 'function') throw new Error('not a function');`);
  }

  /** True after `dispose` or an exceeded limit; the function cannot be called any more. */
  get isTerminated(): boolean {
    return this.#terminated;
  }

  /**
   * Calls the function with JSON values. If it exceeds a limit, terminates it and throws `FunctionFailure`.
   */
  call(args: readonly unknown[]): Outcome {
    const context = this.#context;
    const call = context.getProp(context.global, '__call');
    const text = context.newString(writeJson(args));
    try {
      const answer = this.#timed(() => {
        const result = context.callFunction(call, context.undefined, text);
        if (result.error) {
          result.error.dispose();
          throw new FunctionFailure('limit', 'the function exceeded its time or memory limit');
        }
        const json = context.getString(result.value);
        result.value.dispose();
        return json;
      });
      return readOutcome(answer);
    } finally {
      call.dispose();
      text.dispose();
      if (this.#terminated) this.#free();
    }
  }

  /** Frees the runtime. Safe to call twice. */
  dispose(): void {
    if (this.#terminated) return;
    this.#terminated = true;
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
    const deadline = started + remainingTimeMs();
    this.#runtime.setInterruptHandler(() => performance.now() > deadline);
    try {
      return work();
    } catch (error) {
      this.#terminated = true;
      if (error instanceof FunctionFailure) throw error;
      throw new FunctionFailure('limit', 'the sandbox of the function failed');
    } finally {
      consumeTime(performance.now() - started);
    }
  }

  #free(): void {
    try {
      this.#context.dispose();
      this.#runtime.dispose();
    } catch {
      // Disposal may fail after an out-of-memory error. The runtime is not used again.
    }
  }
}

function readOutcome(json: string): Outcome {
  try {
    const outcome: unknown = JSON.parse(json);
    if (typeof outcome === 'object' && outcome !== null && !Array.isArray(outcome)) return outcome as Outcome;
  } catch {
    // Falls through: the function replaced parts of the prelude, so its result is not JSON.
  }
  return { thrown: { name: 'Error', message: 'the result of the function is not readable' } };
}

function messageOf(error: unknown): string {
  const message: unknown =
    typeof error === 'object' && error !== null && 'message' in error ? error.message : undefined;
  return typeof message === 'string' ? message : 'the time or memory limit was exceeded';
}

/** Time that design functions used in this iteration of the event loop. */
let consumedMs = 0;

function remainingTimeMs(): number {
  return Math.max(1, LOOP_ITERATION_LIMIT_MS - consumedMs);
}

function consumeTime(ms: number): void {
  if (consumedMs === 0) setImmediate(() => (consumedMs = 0));
  consumedMs += ms;
}
