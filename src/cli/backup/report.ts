// Shows what a backup command does: a progress bar on a terminal, JSON lines with --json, else plain lines.
import { SingleBar } from 'cli-progress';
import { type BackupEvent } from '../../backup/events.ts';
import { type CommandIo } from '../command.ts';
import { printable } from '../terminal.ts';

/**
 * Every line that it prints goes through `printable`, whole: names, reasons and ids come from a repository or
 * from CouchDB, and none of them can control the terminal or add a line (H37).
 */
export interface Report {
  /** Takes the events of the engine. */
  readonly onEvent: (event: BackupEvent) => void;
  /** Prints a result: the object with --json, else the lines. */
  result(type: string, fields: object, text: string | readonly string[]): void;
  /** Reports damage that does not stop the command. */
  readonly onDamaged: (reason: string) => void;
  /** Prints one line for people; nothing with --json. */
  line(text: string): void;
  close(): void;
}

const JSON_INTERVAL_MS = 1000;
const FORMAT = '{database} [{bar}] {value}/{total} documents, {size}, {remaining}';

/** Creates the report. Results go to stdout; progress and problems of people go to stderr. */
export function createReport(io: CommandIo, json: boolean): Report {
  return json ? new JsonReport(io) : new TextReport(io);
}

class JsonReport implements Report {
  readonly #io: CommandIo;
  #lastProgress = 0;

  constructor(io: CommandIo) {
    this.#io = io;
  }

  readonly onEvent = (event: BackupEvent): void => {
    if (event.type === 'progress') {
      if (performance.now() - this.#lastProgress < JSON_INTERVAL_MS) return;
      this.#lastProgress = performance.now();
    }
    this.#io.stdout.write(`${JSON.stringify(event)}\n`);
  };

  readonly onDamaged = (reason: string): void => this.result('damage', { reason });

  result(type: string, fields: object): void {
    this.#io.stdout.write(`${JSON.stringify({ type, ...fields })}\n`);
  }

  line(): void {
    // Lines for people are not part of the JSON.
  }

  close(): void {
    // Nothing is open.
  }
}

class TextReport implements Report {
  readonly #io: CommandIo;
  readonly #isTerminal: boolean;
  #bar: SingleBar | undefined;

  constructor(io: CommandIo) {
    this.#io = io;
    this.#isTerminal = io.stderr.isTTY === true;
  }

  readonly onEvent = (event: BackupEvent): void => {
    const { database } = event;
    if (event.type === 'start') {
      this.close();
      if (!this.#isTerminal) return;
      this.#bar = new SingleBar({ format: FORMAT, stream: process.stderr, hideCursor: true });
      this.#bar.start(event.total, 0, { database: printable(database), size: '0 B', remaining: '' });
    } else if (event.type === 'progress') {
      const remaining = event.pending > 0 ? `${event.pending} changes remain` : '';
      this.#bar?.setTotal(Math.max(event.documents, this.#bar.getTotal()));
      this.#bar?.update(event.documents, { size: bytesText(event.bytes), remaining });
    } else if (event.type === 'problem') {
      const id = event.id === undefined || event.id === '' ? '' : ` document ${JSON.stringify(event.id)}`;
      this.#note(`${database}:${id} ${event.reason}`);
    } else this.#note(`${database}: ${event.message}`);
  };

  readonly onDamaged = (reason: string): void => this.#note(`DAMAGED: ${reason}`);

  result(_type: string, _fields: object, text: string | readonly string[]): void {
    for (const line of typeof text === 'string' ? [text] : text) this.line(line);
  }

  line(text: string): void {
    this.close();
    this.#io.stdout.write(`${printable(text)}\n`);
  }

  close(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  /** Interrupts the bar for a line; the next progress draws it again. */
  #note(text: string): void {
    // The bar writes to the same place; `#io` lets no control character pass.
    if (this.#bar !== undefined) process.stderr.write('\r\u001b[K');
    this.#io.stderr.write(`${printable(text)}\n`);
  }
}

/** `12.3 MB`. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}
