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

/** The first sentence of an error of `parseArgs`; Node adds advice about `--` that does not help here. */
export function firstSentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split(/\. |\n/, 1)[0] ?? text;
}
