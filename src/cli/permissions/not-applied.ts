// The failure of a plan that has several reasons.

/** A plan was not applied, or not completely. Each of `details` is a line below the first one. */
export class NotApplied extends Error {
  readonly lines: readonly string[];

  constructor(sentence: string, details: readonly string[], cause?: unknown) {
    super([sentence, ...details].join('\n'), { cause });
    this.lines = [sentence, ...details];
  }
}
