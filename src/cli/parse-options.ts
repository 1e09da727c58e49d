// Parses the arguments of a command.
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { UsageError } from '../setup/arguments.ts';

export type Options = NonNullable<ParseArgsConfig['options']>;
export type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; allowPositionals: true; options: O }>
>;

/** Parses options and positional arguments. Throws a UsageError for an option that is not in `options`. */
export function parseOptions<O extends Options>(args: readonly string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    throw new UsageError(firstSentence(error));
  }
}

/** The first sentence of an error of `parseArgs`; Node adds advice about `--` that does not help here. */
function firstSentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split(/\. |\n/, 1)[0] ?? text;
}
