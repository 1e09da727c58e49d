// Decides what the leaves of a permission record say together. CouchDB's choice of a winner decides nothing.
import { intersectionOf, closed } from './intersection.ts';
import { type Leaf, type RecordState, stateIn } from './record-document.ts';
import { isObject, type JsonObject } from './security-request.ts';

/** What a majority of the copies has of one record. */
export interface PermissionRecord {
  /** The leaves that are not deleted, in the order of CouchDB: its winner comes first. */
  readonly leaves: readonly Leaf[];
  /**
   * The leaf that a change replaces. If all are deleted, it is named as well: else each copy chooses its own.
   */
  readonly parent: string;
  /** The revisions (`_rev`) of deleted leaves: writes that were withdrawn. */
  readonly deleted: readonly string[];
  /** What is in force. Its `state` is that of the leaves: `done` only if there is one, and it is done. */
  readonly state: RecordState;
  /** False while a change is under way, or was left unfinished. */
  readonly isAtRest: boolean;
}

/** A leaf as `open_revs` returns it. */
export interface RawLeaf {
  readonly _id: string;
  readonly _rev: string;
  readonly _deleted?: boolean;
  readonly [field: string]: unknown;
}

/** Sums the leaves up; `undefined` = no record. */
export function recordOf(raw: readonly RawLeaf[]): PermissionRecord | undefined {
  const leaves = raw
    .filter(({ _deleted }) => _deleted !== true)
    .map((document) => ({ ...stateIn(document), rev: document._rev }))
    .sort((a, b) => byWinnerOrder(a.rev, b.rev));
  const withdrawn = raw.filter(({ _deleted }) => _deleted === true);
  const deleted = withdrawn.map(({ _rev }) => _rev);
  const [winner, ...others] = leaves;
  if (winner === undefined) return recordOfWithdrawn(withdrawn, deleted);
  const newest = newestOf([winner, ...others]);
  const forms = [formInForce(newest), ...leaves.filter((leaf) => leaf !== newest).map(formInForce)] as const;
  const isAtRest = others.length === 0 && winner.state === 'done';
  const security = intersectionOf(forms);
  return {
    leaves,
    parent: winner.rev,
    deleted,
    state: { ...newest, security, before: undefined, state: isAtRest ? 'done' : 'writing' },
    isAtRest,
  };
}

/**
 * Two writers can withdraw their leaves at the same time, so that no live leaf is left. A withdrawn leaf
 * holds the state from which its writer started, so the newest of them hold what was acknowledged last.
 */
function recordOfWithdrawn(
  withdrawn: readonly RawLeaf[],
  deleted: readonly string[],
): PermissionRecord | undefined {
  const states = withdrawn.filter((leaf) => isObject(leaf['generation'])).map((leaf) => stateIn(leaf));
  const [first, ...rest] = states;
  if (first === undefined) return undefined;
  const newest = newestOf([first, ...rest]);
  const alike = states.filter(({ revision }) => revision === newest.revision).map(formInForce);
  const security = intersectionOf([formInForce(newest), ...alike]);
  return {
    leaves: [],
    parent: deleted.toSorted(byWinnerOrder)[0] ?? '',
    deleted,
    state: { ...newest, security, before: undefined, state: 'done' },
    isAtRest: true,
  };
}

/** While a change is `writing`, only what is granted before and after it is in force. */
export function formInForce({ state, before, security }: RecordState): JsonObject {
  if (state === 'done') return security;
  return before === undefined ? closed(security) : intersectionOf([security, before]);
}

function newestOf<T extends RecordState>(states: readonly [T, ...T[]]): T {
  return states.reduce((newest, state) => (state.revision > newest.revision ? state : newest));
}

/**
 * CouchDB's winner is the leaf with the longest path, then with the highest hash.
 * https://docs.couchdb.org/en/stable/replication/conflicts.html
 */
function byWinnerOrder(a: string, b: string): number {
  const longer = Number.parseInt(b, 10) - Number.parseInt(a, 10);
  return longer === 0 ? (a < b ? 1 : -1) : longer;
}
