// Which row applies once the document ids in a body are known (H10). Reading the ids is inspect.ts's business.
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

/** `POST /{db}`: the row of the one id. An id that CouchDB reserves is refused by CouchDB, so it counts as ordinary. */
export function endpointForDocument(rows: readonly Endpoint[], ids: IdClass): Endpoint {
  return rowOf(rows, ids === RESERVED ? ORDINARY : ids);
}

/**
 * `_bulk_docs`: who may write ordinary documents is asked for as dbadmin only when a design document is among them; who may not has to
 * hold a role for every kind of id that occurs.
 */
export function endpointForBulk(rows: readonly Endpoint[], held: RoleSet, ids: IdClass): Endpoint | Missing {
  const hasDesign = (ids & DESIGN) !== 0;
  if ((held & (WRITER | ADMIN)) !== 0) {
    if (!hasDesign) return rowOf(rows, ORDINARY);
    return (held & (DESIGNER | ADMIN)) !== 0 ? rowOf(rows, ORDINARY | DESIGN) : NEEDS_DESIGN;
  }
  if ((ids & (ORDINARY | RESERVED)) !== 0) return NEEDS_WRITER;
  if (hasDesign && (held & DESIGNER) === 0) return NEEDS_DESIGN;
  if ((ids & LOCAL) !== 0 && (held & REPLICATOR) === 0) return NEEDS_LOCAL;
  return hasDesign || (held & REPLICATOR) === 0 ? exactRow(rows, DESIGN) : exactRow(rows, LOCAL);
}

/** True when `held` can write ordinary documents and nothing that would change the privilege. */
export function streamsBulk(held: RoleSet): boolean {
  return (held & WRITER) !== 0 && (held & (DESIGNER | ADMIN)) === 0;
}

/** The first row that is meant for all of `ids`. */
function rowOf(rows: readonly Endpoint[], ids: IdClass): Endpoint {
  return found(rows.find((row) => ((row.choice?.ids ?? 0) & ids) === ids));
}

function exactRow(rows: readonly Endpoint[], ids: IdClass): Endpoint {
  return found(rows.find((row) => row.choice?.ids === ids));
}

function found(row: Endpoint | undefined): Endpoint {
  if (row === undefined) throw new Error('the catalogue has no row for these ids');
  return row;
}
