// Constants of the external format of Erlang terms. https://www.erlang.org/doc/apps/erts/erl_ext_dist.html

/** First byte of a term. */
export const VERSION = 131;
/** Second byte of a term that is compressed. */
export const COMPRESSED = 80;
/** Bytes in front of the compressed part: both bytes above, and its size. */
export const HEAD_BYTES = 6;

/** Bytes of the length of an atom, by its tag. */
export const ATOM_LENGTH_BYTES: ReadonlyMap<number, number> = new Map([
  [100, 2],
  [115, 1],
  [118, 2],
  [119, 1],
]);
