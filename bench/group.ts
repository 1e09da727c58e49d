// What a group of measurements is given and what it hands back. The groups are in groups/, printing is report.ts's business.
import { type Rounds } from './rounds.ts';

export interface Plan extends Rounds {
  /** Larger data and more cases. */
  readonly long: boolean;
  /** Folder for V8 profiles of Couchgate, when they are asked for. */
  readonly profiles: string | undefined;
  /** Says on stderr what is being done. */
  readonly note: (line: string) => void;
  /** Registers what must be ended when the group is over, last first. */
  readonly atEnd: (end: () => Promise<void> | void) => void;
}

export interface Table {
  readonly caption?: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A target with what was measured; `holds` is undefined where this machine cannot show it. */
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
