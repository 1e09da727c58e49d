// Selects the endpoint of a write by the kinds of document ids in its body (H10).
import { DESIGN, LOCAL, ORDINARY, RESERVED, type IdClass } from '../catalogue/document-id.ts';
import { type Endpoint } from '../catalogue/endpoint.ts';
import { roleSet, type RoleSet } from '../permissions/role.ts';
import { access, type Missing } from './missing-roles.ts';

const WRITER = roleSet(['_writer']);
const ADMIN = roleSet(['_admin']);
const DESIGNER = roleSet(['_design']);
const REPLICATOR = roleSet(['_replicator']);

const NEEDS_WRITER = access(['_writer']);
const NEEDS_DESIGN = access(['_design']);
const NEEDS_LOCAL = access(['_replicator', '_writer']);

/**
 * `POST /{db}`: the endpoint of its single id. CouchDB refuses a reserved id itself, so it counts as
 * ordinary.
 */
export function endpointForDocument(alternatives: readonly Endpoint[], ids: IdClass): Endpoint {
  return firstFor(alternatives, ids === RESERVED ? ORDINARY : ids);
}

/**
 * `_bulk_docs`: a caller that may write ordinary documents needs dbadmin privilege only if the body has a
 * design document. Any other caller needs a role for every kind of id in the body. Returns what is missing if
 * a role is not held.
 */
export function endpointForBulk(
  alternatives: readonly Endpoint[],
  held: RoleSet,
  ids: IdClass,
): Endpoint | Missing {
  const hasDesign = (ids & DESIGN) !== 0;
  if ((held & (WRITER | ADMIN)) !== 0) {
    if (!hasDesign) return firstFor(alternatives, ORDINARY);
    return (held & (DESIGNER | ADMIN)) !== 0 ? firstFor(alternatives, ORDINARY | DESIGN) : NEEDS_DESIGN;
  }
  if ((ids & (ORDINARY | RESERVED)) !== 0) return NEEDS_WRITER;
  if (hasDesign && (held & DESIGNER) === 0) return NEEDS_DESIGN;
  if ((ids & LOCAL) !== 0 && (held & REPLICATOR) === 0) return NEEDS_LOCAL;
  return hasDesign || (held & REPLICATOR) === 0
    ? onlyFor(alternatives, DESIGN)
    : onlyFor(alternatives, LOCAL);
}

/** True if `held` permits ordinary writes and nothing that needs another privilege. */
export function mayStreamBulk(held: RoleSet): boolean {
  return (held & WRITER) !== 0 && (held & (DESIGNER | ADMIN)) === 0;
}

/** The first endpoint that covers all of `ids`. */
function firstFor(alternatives: readonly Endpoint[], ids: IdClass): Endpoint {
  return found(alternatives.find((each) => ((each.choice?.ids ?? 0) & ids) === ids));
}

/** The endpoint that covers exactly `ids`. */
function onlyFor(alternatives: readonly Endpoint[], ids: IdClass): Endpoint {
  return found(alternatives.find((each) => each.choice?.ids === ids));
}

function found(endpoint: Endpoint | undefined): Endpoint {
  if (endpoint === undefined) throw new Error('the catalogue has no endpoint for these ids');
  return endpoint;
}
