// Keeps the newest lines of the access log in memory, where it goes to stdout and cannot be read again.

export interface RecentLinesLimits {
  readonly lines: number;
  /** Characters of all kept lines: clients choose the length of a line. */
  readonly characters: number;
}

const LIMITS: RecentLinesLimits = { lines: 10_000, characters: 16_777_216 };

/** A ring of lines. The oldest go first when a limit is reached. */
export class RecentLines {
  readonly #limits: RecentLinesLimits;
  readonly #ring: string[];
  /** Number of lines since the start; the number of the next line. */
  #added = 0;
  #kept = 0;
  #characters = 0;

  constructor(limits: RecentLinesLimits = LIMITS) {
    this.#limits = limits;
    this.#ring = new Array<string>(limits.lines).fill('');
  }

  add(line: string): void {
    const { lines, characters } = this.#limits;
    if (this.#kept === lines) this.#dropOldest();
    this.#ring[this.#added % lines] = line;
    this.#added += 1;
    this.#kept += 1;
    this.#characters += line.length;
    while (this.#characters > characters && this.#kept > 1) this.#dropOldest();
  }

  #dropOldest(): void {
    const oldest = (this.#added - this.#kept) % this.#limits.lines;
    this.#characters -= this.#ring[oldest]?.length ?? 0;
    this.#ring[oldest] = '';
    this.#kept -= 1;
  }

  /** Number of the newest line plus one. */
  get end(): number {
    return this.#added;
  }

  /** Number of the oldest line that is kept. */
  get start(): number {
    return this.#added - this.#kept;
  }

  /** The line of this number; it must be kept. */
  at(number: number): string {
    return this.#ring[number % this.#limits.lines] ?? '';
  }
}
