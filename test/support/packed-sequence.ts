// Packs sequences as a CouchDB cluster does: one copy of each range, as an Erlang term in base64url.

export interface PackedCopy {
  readonly node: string;
  readonly count: number;
  /** Of `update_seq`: the beginning of the UUID of its file. */
  readonly file?: string;
}

/** Returns the sequence of a database with as many ranges as there are copies. */
export function packed(...copies: readonly PackedCopy[]): string {
  const bytes: number[] = [131, 108, 0, 0, 0, copies.length];
  for (const [at, { node, count, file }] of copies.entries()) {
    bytes.push(104, 3, ...atom(node));
    bytes.push(108, 0, 0, 0, 2, ...integer(at * 2 ** 31), ...integer((at + 1) * 2 ** 31 - 1), 106);
    if (file === undefined) bytes.push(...integer(count));
    else
      bytes.push(104, 3, ...integer(count), 109, 0, 0, 0, file.length, ...Buffer.from(file), ...atom(node));
  }
  const sum = copies.reduce((all, { count }) => all + count, 0);
  return `${sum}-${Buffer.from([...bytes, 106]).toString('base64url')}`;
}

function atom(name: string): readonly number[] {
  return [100, 0, name.length, ...Buffer.from(name)];
}

function integer(value: number): readonly number[] {
  return value < 256 ? [97, value] : [110, 4, 0, ...[0, 8, 16, 24].map((shift) => (value >>> shift) & 255)];
}
