// What is wrong with a configuration, told all at once. Finding it is load.ts's business.

export interface Problem {
  /** Name of the file, or `environment`. */
  readonly file: string;
  /** Line in the file, from 1; undefined for the environment. */
  readonly line?: number;
  /** The setting, or the variable; an element of a list is `origins[2]`. */
  readonly path: string;
  /** What is wrong and what to do; never the value of a secret. */
  readonly reason: string;
}

/** One line a problem: `config/cors.yaml:3: origins[0]: …`. */
export function describeProblem(problem: Problem): string {
  const place = problem.line === undefined ? problem.file : `${problem.file}:${problem.line}`;
  return problem.path === '' ? `${place}: ${problem.reason}` : `${place}: ${problem.path}: ${problem.reason}`;
}

/** A configuration that must not be used; the message lists every problem. */
export class ConfigurationError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super(
      `The configuration has ${count}:\n${problems.map((one) => `  ${describeProblem(one)}`).join('\n')}`,
    );
    this.name = 'ConfigurationError';
    this.problems = problems;
  }
}
