// Which kind of document an id names: the kinds need different rights. Where the id stands (path, body, Destination header) is the reader's business.

/** Kinds of ids as bits, so that "the kinds of all ids in a body" is one number. */
export type IdClass = number;

export const ORDINARY: IdClass = 1;
export const DESIGN: IdClass = 2;
export const LOCAL: IdClass = 4;
/** Checkpoints of CouchDB's own purge and shard synchronisation: CouchDB lets any member write them (H10), so nobody reaches them. */
export const INTERNAL: IdClass = 8;
/** Any other id that begins with an underscore; CouchDB refuses to write one. */
export const RESERVED: IdClass = 16;

const UNDERSCORE = 95;

/** The kind of a decoded id. Prefixes are case-sensitive and start at the first character: ` _design/x` is an ordinary id (H10). */
export function classOfId(id: string): IdClass {
  if (id.charCodeAt(0) !== UNDERSCORE) return ORDINARY;
  if (id.startsWith('_design/')) return DESIGN;
  if (id.startsWith('_local/')) return isInternalLocal(id, '_local/'.length) ? INTERNAL : LOCAL;
  return RESERVED;
}

/** True when the name that begins at `from` is one of CouchDB's own local documents. */
export function isInternalLocal(id: string, from = 0): boolean {
  return id.startsWith('purge-', from) || id.startsWith('shard-sync-', from);
}
