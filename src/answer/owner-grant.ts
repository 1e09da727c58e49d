// What the endpoints of prefix grants and of server grants have in common.
import { type IncomingMessage } from 'node:http';
import { type Context, known } from '../context.ts';
import { BadRequest } from '../http-errors.ts';
import { type GrantChangeOptions, type GrantCondition } from '../permissions/grant-documents.ts';
import { type IsStillAuthenticated, standingOf } from '../revocation/after-wait.ts';

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

/** The condition of a change, and its standing while it waits. Throws 400 for a condition of another form. */
export function grantChangeOptions(
  req: Pick<IncomingMessage, 'headers'>,
  context: Context,
  isStillAuthenticated: IsStillAuthenticated,
): GrantChangeOptions {
  return { condition: grantConditionIn(req), standing: standingOf(isStillAuthenticated, context) };
}

/**
 * The state that a change needs: `If-Match` with the `revision` of the grant, or `If-None-Match: *`. Throws
 * 400 for other forms. A weak tag counts as the strong one: proxies weaken tags when they compress.
 */
function grantConditionIn({ headers }: Pick<IncomingMessage, 'headers'>): GrantCondition {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  const tag = ifMatch === undefined ? undefined : /^(?:W\/)?"([0-9a-f-]{1,80})"$/.exec(ifMatch)?.[1];
  if (ifNoneMatch === undefined && tag !== undefined) return tag;
  if (ifMatch === undefined && ifNoneMatch === '*') return null;
  throw new BadRequest('Send either If-Match with the `revision` of the grant, or If-None-Match: *');
}
