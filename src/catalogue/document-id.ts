// Classifies document ids by the rights that they require.

/** Classes of ids as bits, so that one number holds the classes of all ids in a body. */
export type IdClass = number;

export const ORDINARY: IdClass = 1;
export const DESIGN: IdClass = 2;
export const LOCAL: IdClass = 4;
/**
 * Checkpoints of CouchDB's purge and shard synchronisation. CouchDB lets every member write them (H10), so
 * they are blocked for everybody.
 */
export const INTERNAL: IdClass = 8;
/** Any other id that begins with an underscore. CouchDB refuses to write one. */
export const RESERVED: IdClass = 16;

/** CouchDB's reason for refusing an id; the error is `illegal_docid`. */
export const NOT_UTF8_ID = 'Document id must be valid UTF-8';

const UNDERSCORE = 95;

/**
 * Returns the class of a decoded id. Prefixes are case-sensitive and start at the first character: `
 * _design/x` is an ordinary id (H10).
 */
export function classOfId(id: string): IdClass {
  if (id.charCodeAt(0) !== UNDERSCORE) return ORDINARY;
  if (id.startsWith('_design/')) return DESIGN;
  if (id.startsWith('_local/')) return isInternalLocal(id, '_local/'.length) ? INTERNAL : LOCAL;
  return RESERVED;
}

/** True if the name at offset `from` is a local document of CouchDB's purge or shard synchronisation. */
export function isInternalLocal(id: string, from = 0): boolean {
  return id.startsWith('purge-', from) || id.startsWith('shard-sync-', from);
}
