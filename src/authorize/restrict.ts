// Restricts a decision by where the request comes from: the listener, and the address of the owner.
import { servesStoredPages } from '../catalogue/functions.ts';
import { type Allowed, type Context, type Decision, known } from '../context.ts';

const NOT_ON_DASHBOARD: Decision = Object.freeze({
  allow: false,
  status: 403,
  reason: 'The listener of the dashboard serves no attachments, no functions and no other pages.',
  rule: 'dashboard listener',
  needed: 'another listener',
});

/** True if the owner is permitted as such: everybody may call a public endpoint, from every address. */
function isForOwner({ identified }: Context, { endpoint }: Allowed): boolean {
  const { principal } = known(identified, 'identified');
  return principal.kind === 'owner' && endpoint.permit.kind !== 'public';
}

/** The decision, or a refusal. */
export function restrict(context: Context, decision: Decision): Decision {
  if (context.isOnDashboardListener && decision.allow && servesStoredPages(decision.endpoint))
    return NOT_ON_DASHBOARD;
  return restrictOwner(context, decision);
}

/** Refuses the owner on addresses outside `owner_allow`. */
function restrictOwner(context: Context, decision: Decision): Decision {
  if (!decision.allow || !isForOwner(context, decision) || context.client?.mayAdminister !== false)
    return decision;
  return {
    allow: false,
    status: 403,
    reason: 'The server admin may not act from this address.',
    rule: 'owner address',
    needed: 'an address for owner operations',
  };
}
