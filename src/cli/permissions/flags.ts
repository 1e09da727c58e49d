// The flags without which a plan that widens access is refused.
import { type Widening } from '../../permissions/widening.ts';

const FLAGS: Readonly<Record<Widening, readonly [flag: string, does: string]>> = {
  public: ['--allow-public', 'opens to callers without credentials'],
  admin: ['--allow-admin', 'gives _admin or _security to somebody who does not have it now'],
};

/** For a person: what a database or a grant needs a flag for. */
export function flagsOf(place: string, widening: readonly Widening[]): readonly string[] {
  return widening.map((way) => `${place} ${FLAGS[way][1]}; needs ${FLAGS[way][0]}`);
}
