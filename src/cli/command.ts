// What every command gets and gives back.
import { type Readable } from 'node:stream';
import { type Environment } from '../config/sources.ts';

export interface CommandIo {
  readonly env: Environment;
  readonly stdin: Readable;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/** Runs with the words behind its name; resolves with the exit code: 0 good, 1 the answer is no, 2 wrongly called. */
export type Command = (words: readonly string[], io: CommandIo) => number | Promise<number>;
