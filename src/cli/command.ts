// Interface of the commands of the command line.
import { type Readable } from 'node:stream';
import { type Environment } from '../config/sources.ts';

export interface Output {
  /** True for a terminal. */
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export interface CommandIo {
  readonly env: Environment;
  readonly stdin: Readable;
  readonly stdout: Output;
  readonly stderr: Output;
}

/**
 * Runs a command with the arguments after its name. Resolves with the exit code: 0 = success, 1 = negative
 * result, 2 = invalid usage.
 */
export type Command = (args: readonly string[], io: CommandIo) => number | Promise<number>;
