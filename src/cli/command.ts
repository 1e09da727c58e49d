// Interface of the commands of the command line.
import { type Readable } from 'node:stream';
import { type Environment } from '../config/sources.ts';

export interface CommandIo {
  readonly env: Environment;
  readonly stdin: Readable;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/**
 * Runs a command with the arguments after its name. Resolves with the exit code: 0 = success, 1 = negative
 * result, 2 = invalid usage.
 */
export type Command = (args: readonly string[], io: CommandIo) => number | Promise<number>;
