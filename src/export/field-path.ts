// Finds the value of a field that a caller named: a member, or a path through objects and lists.
import { type Column } from './columns.ts';
import { type Work } from './work.ts';

/** A name that the path may have at some place, and the place after it; undefined = the end of the path. */
interface Candidate {
  readonly name: string;
  readonly next: number | undefined;
}

/**
 * A path such as `address.city` or `tags.0`. A name may have dots itself, so a path has several readings. The
 * names of all readings are made once, not for each document: that would cost the square of its length.
 */
export class FieldPath implements Column {
  readonly name: string;
  readonly #parts: readonly string[];
  /** By the place where the name begins. Few places are reached, so they are filled when they are. */
  readonly #candidates: (readonly Candidate[])[] = [];

  constructor(field: string) {
    this.name = field;
    this.#parts = field.split('.');
  }

  /** The value of the first reading that the document has: the whole path as one name, then shorter names. */
  valueIn(document: unknown, work: Work): unknown {
    return this.#find(document, 0, work);
  }

  #find(value: unknown, place: number, work: Work): unknown {
    work.add(1);
    if (typeof value !== 'object' || value === null) return undefined;
    for (const { name, next } of this.#candidatesAt(place)) {
      work.add(1);
      if (!Object.hasOwn(value, name)) continue;
      const member = (value as Record<string, unknown>)[name];
      if (next === undefined) return member;
      const found = this.#find(member, next, work);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #candidatesAt(place: number): readonly Candidate[] {
    return (this.#candidates[place] ??= this.#namesFrom(place));
  }

  #namesFrom(place: number): readonly Candidate[] {
    const whole = { name: this.#parts.slice(place).join('.'), next: undefined };
    const shorter = this.#parts.slice(place + 1).map((_, more) => {
      const next = place + 1 + more;
      return { name: this.#parts.slice(place, next).join('.'), next };
    });
    return [whole, ...shorter];
  }
}
