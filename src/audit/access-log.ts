// Where the lines of the access log go: stdout or a file, never at the cost of the requests. What a line says is line.ts's business.
import { closeSync, openSync } from 'node:fs';
import sonicBoom from 'sonic-boom';
import { type OperationalLog } from '../config/operational-log.ts';

export interface AccessLog {
  /** False when there is no access log, so that no line need be made. */
  readonly enabled: boolean;
  /** False while lines cannot be written and the policy is to refuse requests then. */
  readonly accepting: boolean;
  /** Lines lost since the start. */
  readonly dropped: number;
  /** Adds a line, which ends in a line feed. Never blocks, never throws. */
  write(line: string): void;
  /** Opens the file again by its name, after a log rotation moved it away. */
  reopen(): void;
  /** Writes out what is held back, as far as that works within `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

export interface AccessLogParameters {
  /** `stdout`, `off`, or a file. */
  readonly target: string;
  readonly policy: string;
  readonly log: OperationalLog;
  /** How much may wait for a slow sink before lines are dropped. */
  readonly bufferBytes?: number;
  /** Several processes share the sink, so that one write must be one piece (a pipe keeps 4096 bytes together, POSIX PIPE_BUF). */
  readonly shared?: boolean;
}

const { SonicBoom } = sonicBoom;

const RETRY_MS = 1000;
const BATCH_CHARACTERS = 65_536;
const GATHER_MS = 10;
const PIPE_BUF = 4096;

/** Opens the sink. Throws when the file cannot be opened: a log that must be kept is missed before the first request, not after. */
export function openAccessLog(parameters: AccessLogParameters): AccessLog {
  if (parameters.target === 'off') return NO_LOG;
  return new SinkLog(parameters);
}

const NO_LOG: AccessLog = Object.freeze({
  enabled: false,
  accepting: true,
  dropped: 0,
  write: () => undefined,
  reopen: () => undefined,
  close: () => Promise.resolve(),
});

class SinkLog implements AccessLog {
  readonly enabled = true;
  dropped = 0;
  readonly #sink: sonicBoom.SonicBoom;
  readonly #largestBatch: number;
  readonly #log: OperationalLog;
  readonly #target: string;
  readonly #refuses: boolean;
  readonly #flushBatch = (): void => this.#passOn();
  #batch = '';
  #failing = false;
  #full = false;
  #reopening = false;
  #retrying = false;

  constructor({ target, policy, log, bufferBytes = 16_777_216, shared = false }: AccessLogParameters) {
    this.#log = log;
    this.#target = target;
    this.#refuses = policy === 'refuse';
    if (target !== 'stdout') closeSync(openSync(target, 'a', 0o640));
    // To a file every write is one piece, whatever its size: it is opened for appending.
    const largest = shared && target === 'stdout' ? PIPE_BUF : BATCH_CHARACTERS;
    this.#sink = new SonicBoom({
      dest: target === 'stdout' ? 1 : target,
      maxLength: bufferBytes,
      mode: 0o640,
      maxWrite: largest,
    });
    this.#largestBatch = largest;
    this.#sink.on('drop', (lines: string) => this.#lose(lines));
    this.#sink.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? 'unknown error'));
    this.#sink.on('write', () => this.#recover());
    this.#sink.on('ready', () => {
      this.#reopening = false;
      this.#recover();
    });
    this.#sink.on('drain', () => (this.#full = false));
  }

  get accepting(): boolean {
    return !this.#refuses || !(this.#failing || this.#full);
  }

  /** Lines are handed over a hundred times a second: a write for every turn of the event loop would cost a busy Couchgate 5 % of its time. */
  write(line: string): void {
    if (this.#batch === '') setTimeout(this.#flushBatch, GATHER_MS);
    else if (this.#batch.length + line.length > this.#largestBatch) this.#passOn();
    this.#batch += line;
  }

  #passOn(): void {
    if (this.#batch === '') return;
    const lines = this.#batch;
    this.#batch = '';
    this.#sink.write(lines);
  }

  #lose(lines: string): void {
    if (!this.#full)
      this.#log.error({ target: this.#target }, 'the access log takes no more: lines are lost');
    this.#full = true;
    for (let at = lines.indexOf('\n'); at !== -1; at = lines.indexOf('\n', at + 1)) this.dropped += 1;
  }

  #fail(code: string): void {
    if (!this.#failing) this.#log.error({ target: this.#target, code }, 'the access log cannot be written');
    this.#failing = true;
    if (this.#retrying) return;
    this.#retrying = true;
    setTimeout(() => {
      this.#retrying = false;
      if (this.#reopening) this.#sink.reopen();
      else this.#sink.flush();
    }, RETRY_MS).unref();
  }

  #recover(): void {
    if (this.#failing) this.#log.warn({ target: this.#target }, 'the access log can be written again');
    this.#failing = false;
  }

  reopen(): void {
    if (this.#target === 'stdout') return;
    this.#reopening = true;
    this.#sink.reopen();
  }

  close(timeoutMs: number): Promise<void> {
    this.#passOn();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        // At its end Node waits for the thread that is stuck in a write; when nobody reads, it would wait for good.
        if (this.#target === 'stdout') process.once('exit', () => process.kill(process.pid, 'SIGKILL'));
        this.#log.error({ target: this.#target }, 'the access log takes no more: its last lines are lost');
        resolve();
      }, timeoutMs);
      this.#sink.flush(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
