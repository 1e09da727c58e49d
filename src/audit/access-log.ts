// Writes the lines of the access log to stdout or a file, in batches, without blocking requests.
import { close, closeSync, open, openSync } from 'node:fs';
import sonicBoom from 'sonic-boom';
import { type OperationalLog } from '../config/operational-log.ts';
import { RecentLines } from './recent-lines.ts';

export interface AccessLog {
  /** False if the access log is off, so that no line is built. */
  readonly enabled: boolean;
  /** False while lines cannot be written and the policy is `refuse`. */
  readonly accepting: boolean;
  /** Number of lines that were lost since the start. */
  readonly dropped: number;
  /** The newest lines, if the sink cannot be read again. */
  readonly recent?: RecentLines | undefined;
  /** Adds a line, which must end with a line feed. Never blocks and never throws. */
  write(line: string): void;
  /** Opens the file by its name again, after log rotation. */
  reopen(): void;
  /** Writes the lines that are still in memory, for at most `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

export interface AccessLogParameters {
  /** `stdout`, `off`, or a path. */
  readonly target: string;
  /** `drop` or `refuse` (setting `access_log_policy`). */
  readonly policy: string;
  readonly log: OperationalLog;
  /** Bytes that may wait for a slow sink before lines are dropped. */
  readonly bufferBytes?: number;
  /** True if several processes write to the sink. A write must then fit in PIPE_BUF (POSIX). */
  readonly shared?: boolean;
}

const { SonicBoom } = sonicBoom;

/** With contentMode `buffer`, the sink takes bytes; its types do not know this. */
type ByteSink = Omit<sonicBoom.SonicBoom, 'write'> & { write(bytes: Buffer): boolean };

const RETRY_MS = 1000;
const BATCH_BYTES = 65_536;
const BATCH_DELAY_MS = 10;
const PIPE_BUF = 4096;
const LINE_FEED = 10;

/** Opens the sink. Throws if the file cannot be opened, before the first request is served. */
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

/** Waiting lines, as bytes: of a string, the sink counts characters and encodes it twice. */
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
    // A UTF-16 code unit takes at most three bytes, so most lines need not be measured.
    return line.length * 3 <= free || Buffer.byteLength(line) <= free;
  }

  add(line: string): void {
    this.#used += this.#bytes.write(line, this.#used);
  }

  /** Empties the batch and returns a copy of its bytes. */
  take(): Buffer {
    const lines = Buffer.from(this.#bytes.subarray(0, this.#used));
    this.#used = 0;
    return lines;
  }
}

class SinkLog implements AccessLog {
  readonly enabled = true;
  dropped = 0;
  readonly recent: RecentLines | undefined;
  readonly #sink: ByteSink;
  readonly #batch: Batch;
  readonly #log: OperationalLog;
  readonly #target: string;
  readonly #refuses: boolean;
  readonly #onFlushTimer = (): void => {
    this.#isFlushScheduled = false;
    this.#flushBatch();
  };
  #isFlushScheduled = false;
  #failing = false;
  #full = false;
  #reopening = false;
  #retrying = false;

  constructor({ target, policy, log, bufferBytes = 16_777_216, shared = false }: AccessLogParameters) {
    this.#log = log;
    this.#target = target;
    this.#refuses = policy === 'refuse';
    this.recent = target === 'stdout' ? new RecentLines() : undefined;
    if (target !== 'stdout') closeSync(openSync(target, 'a', 0o640));
    // A write to a file is atomic at any size: the file is opened for appending.
    const largest = shared && target === 'stdout' ? PIPE_BUF : BATCH_BYTES;
    this.#sink = new SonicBoom({
      dest: target === 'stdout' ? 1 : target,
      maxLength: bufferBytes,
      mode: 0o640,
      maxWrite: largest,
      contentMode: 'buffer',
    }) as unknown as ByteSink;
    this.#batch = new Batch(largest);
    this.#sink.on('drop', (lines: Buffer) => this.#countDropped(lines));
    this.#sink.on('error', (error: NodeJS.ErrnoException) =>
      this.#onWriteError(error.code ?? 'unknown error'),
    );
    this.#sink.on('write', () => this.#onWriteSuccess());
    this.#sink.on('ready', () => {
      this.#reopening = false;
      this.#onWriteSuccess();
    });
    this.#sink.on('drain', () => (this.#full = false));
  }

  get accepting(): boolean {
    return !this.#refuses || !(this.#failing || this.#full);
  }

  /** Batched: a write per turn of the event loop costs a busy Couchgate 5 % of its time. */
  write(line: string): void {
    this.recent?.add(line);
    if (!this.#batch.hasRoomFor(line)) this.#flushBatch();
    if (!this.#isFlushScheduled) {
      this.#isFlushScheduled = true;
      setTimeout(this.#onFlushTimer, BATCH_DELAY_MS);
    }
    if (this.#batch.hasRoomFor(line)) this.#batch.add(line);
    else this.#sink.write(Buffer.from(line));
  }

  #flushBatch(): void {
    if (!this.#batch.isEmpty) this.#sink.write(this.#batch.take());
  }

  #countDropped(lines: Buffer): void {
    if (!this.#full)
      this.#log.error({ target: this.#target }, 'access log buffer is full: lines are dropped');
    this.#full = true;
    for (let at = lines.indexOf(LINE_FEED); at !== -1; at = lines.indexOf(LINE_FEED, at + 1))
      this.dropped += 1;
  }

  #onWriteError(code: string): void {
    if (!this.#failing) this.#log.error({ target: this.#target, code }, 'access log cannot be written');
    this.#failing = true;
    if (this.#retrying) return;
    this.#retrying = true;
    setTimeout(() => {
      this.#retrying = false;
      if (this.#reopening) this.#openAgain();
      else this.#sink.flush();
    }, RETRY_MS).unref();
  }

  #onWriteSuccess(): void {
    if (this.#failing) this.#log.warn({ target: this.#target }, 'access log can be written again');
    this.#failing = false;
  }

  reopen(): void {
    if (this.#target === 'stdout') return;
    this.#reopening = true;
    this.#openAgain();
  }

  /**
   * The sink closes its old descriptor once for each `reopen`, also for those that failed, and the number may
   * then belong to a connection. So it is called only when the file can be opened.
   */
  #openAgain(): void {
    open(this.#target, 'a', 0o640, (error, fd) => {
      if (error === null) close(fd, () => this.#sink.reopen());
      else this.#onWriteError(error.code ?? 'unknown error');
    });
  }

  close(timeoutMs: number): Promise<void> {
    this.#flushBatch();
    return new Promise((resolve) => {
      const fail = (): void => {
        this.#log.error({ target: this.#target }, 'access log could not be flushed: its last lines are lost');
        resolve();
      };
      const timer = setTimeout(() => {
        // On exit, Node waits for a blocked write. If nothing reads stdout, the process would never end.
        if (this.#target === 'stdout') process.once('exit', () => process.kill(process.pid, 'SIGKILL'));
        fail();
      }, timeoutMs);
      this.#sink.flush((error) => {
        clearTimeout(timer);
        if (error instanceof Error) fail();
        else resolve();
      });
    });
  }
}
