// What the endpoints of prefix grants and of server grants have in common.
import { type Context, known } from '../context.ts';

/** Rules of the body of such a grant. */
export const GRANT_BODY = { limitBytes: 16_384 } as const;

/** Who makes a change, and when: `at` is ISO 8601, `now` in milliseconds since 1970. */
export function originOf(context: Context, now: number): { readonly by: string; readonly at: string } {
  return {
    by: known(context.identified, 'identified').principal.name,
    at: new Date(now).toISOString(),
  };
}

/** The last segment of `/_api/v2/prefix_grants/{id}` and `/_api/v2/server_grants/{principal}`. */
export function grantNameIn(context: Context): string {
  return known(known(context.target, 'target').segments[3], 'target.segments[3]');
}
