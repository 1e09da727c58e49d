// Types of a group of measurements: its input and its result.
import { type Rounds } from './rounds.ts';

export interface Plan extends Rounds {
  /** True for larger data and more cases. */
  readonly long: boolean;
  /** Folder for V8 profiles of Couchgate; undefined = no profile. */
  readonly profiles: string | undefined;
  /** Folder of another checkout of Couchgate to compare with; undefined = none. */
  readonly against: string | undefined;
  /** Prints progress on stderr. */
  readonly note: (line: string) => void;
  /** Registers a cleanup function; cleanups run in reverse order after the group. */
  readonly atEnd: (end: () => Promise<void> | void) => void;
}

export interface Table {
  readonly caption?: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A target with the measured value; `holds` is undefined if this machine cannot show it. */
export interface Finding {
  readonly target: string;
  readonly measured: string;
  readonly holds: boolean | undefined;
}

export interface Section {
  readonly text: string;
  readonly tables: readonly Table[];
  readonly findings: readonly Finding[];
}

export interface Group {
  readonly name: string;
  readonly title: string;
  readonly run: (plan: Plan) => Promise<Section>;
}
