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

/** A sink whose contentMode is `buffer` takes bytes, which its types do not know. */
type ByteSink = Omit<sonicBoom.SonicBoom, 'write'> & { write(bytes: Buffer): boolean };

const RETRY_MS = 1000;
const BATCH_BYTES = 65_536;
const GATHER_MS = 10;
const PIPE_BUF = 4096;
const LINE_FEED = 10;

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

/** Lines that wait to be written, as bytes: of text, the sink would take the length, and encode it twice. */
class Batch {
  readonly #bytes: Buffer;
  #used = 0;

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafeSlow(size);
  }

  get isEmpty(): boolean {
    return this.#used === 0;
  }

  hasRoomFor(line: string): boolean {
    const free = this.#bytes.length - this.#used;
    // No character takes more than three bytes, so most lines need not be measured.
    return line.length * 3 <= free || Buffer.byteLength(line) <= free;
  }

  add(line: string): void {
    this.#used += this.#bytes.write(line, this.#used);
  }

  /** All of them, in memory of their own. */
  take(): Buffer {
    const lines = Buffer.from(this.#bytes.subarray(0, this.#used));
    this.#used = 0;
    return lines;
  }
}

class SinkLog implements AccessLog {
  readonly enabled = true;
  dropped = 0;
  readonly #sink: ByteSink;
  readonly #batch: Batch;
  readonly #log: OperationalLog;
  readonly #target: string;
  readonly #refuses: boolean;
  readonly #endGathering = (): void => {
    this.#gathering = false;
    this.#passOn();
  };
  #gathering = false;
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
    const largest = shared && target === 'stdout' ? PIPE_BUF : BATCH_BYTES;
    this.#sink = new SonicBoom({
      dest: target === 'stdout' ? 1 : target,
      maxLength: bufferBytes,
      mode: 0o640,
      maxWrite: largest,
      contentMode: 'buffer',
    }) as unknown as ByteSink;
    this.#batch = new Batch(largest);
    this.#sink.on('drop', (lines: Buffer) => this.#lose(lines));
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
    if (!this.#batch.hasRoomFor(line)) this.#passOn();
    if (!this.#gathering) {
      this.#gathering = true;
      setTimeout(this.#endGathering, GATHER_MS);
    }
    if (this.#batch.hasRoomFor(line)) this.#batch.add(line);
    else this.#sink.write(Buffer.from(line));
  }

  #passOn(): void {
    if (!this.#batch.isEmpty) this.#sink.write(this.#batch.take());
  }

  #lose(lines: Buffer): void {
    if (!this.#full)
      this.#log.error({ target: this.#target }, 'the access log takes no more: lines are lost');
    this.#full = true;
    for (let at = lines.indexOf(LINE_FEED); at !== -1; at = lines.indexOf(LINE_FEED, at + 1))
      this.dropped += 1;
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
