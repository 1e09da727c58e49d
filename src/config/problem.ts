// Describes the problems of a configuration and the error that lists them.

export interface Problem {
  /** Name of the file, or `environment`. */
  readonly file: string;
  /** Line in the file, from 1; undefined for the environment. */
  readonly line?: number;
  /** Name of the setting or variable; an element of a list is `origins[2]`. */
  readonly path: string;
  /** What is wrong and how to fix it; never the value of a secret. */
  readonly reason: string;
}

/** Returns one line per problem: `config/cors.yaml:3: origins[0]: …`. */
export function describeProblem(problem: Problem): string {
  const place = problem.line === undefined ? problem.file : `${problem.file}:${problem.line}`;
  return problem.path === '' ? `${place}: ${problem.reason}` : `${place}: ${problem.path}: ${problem.reason}`;
}

/** Thrown for an invalid configuration; the message lists every problem. */
export class ConfigurationError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    super(
      `The configuration has ${count}:\n${problems.map((one) => `  ${describeProblem(one)}`).join('\n')}`,
    );
    this.name = 'ConfigurationError';
    this.problems = problems;
  }
}

/**
 * Completes a sentence about a file that cannot be read. EACCES names the user, because it is often not the
 * expected one.
 */
export function readFailure(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
  if (code !== 'EACCES') return `cannot be read (${code})`;
  return `cannot be read (EACCES): the user of this process (uid ${process.getuid?.() ?? '?'}) may not read it`;
}
