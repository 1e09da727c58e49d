// The index files of one snapshot, newest first, read as one index. An entry of a newer file replaces the
// same id in older ones.
import { compare } from './canonical.ts';
import { IndexReader, IndexWriter, type IndexEntry, type IndexRef } from './index-file.ts';
import { type Repository } from './repository.ts';

/** Reads the chain of a snapshot. */
export class Chain {
  readonly #readers: readonly IndexReader[];

  constructor(readers: readonly IndexReader[]) {
    this.#readers = readers;
  }

  /**
   * Opens the files. With `check`, the SHA-256 of each must be its name. `cache` shares readers between
   * snapshots. Throws `Damaged`.
   */
  static async open(
    repository: Repository,
    refs: readonly IndexRef[],
    options: { readonly check?: boolean; readonly cache?: Map<string, IndexReader> } = {},
  ): Promise<Chain> {
    const { check = false, cache } = options;
    const readers: IndexReader[] = [];
    for (const { name } of refs) {
      const reader = cache?.get(name) ?? (await IndexReader.open(repository, name, check));
      cache?.set(name, reader);
      readers.push(reader);
    }
    return new Chain(readers);
  }

  /** True if there is no index file. */
  get isEmpty(): boolean {
    return this.#readers.length === 0;
  }

  /** The entry of a document; undefined if the snapshot does not have it. */
  async lookup(id: string): Promise<IndexEntry | undefined> {
    for (const reader of this.#readers) {
      const entry = await reader.lookup(id);
      if (entry !== undefined) return entry.leaves.length === 0 ? undefined : entry;
    }
    return undefined;
  }

  /** Every document of the snapshot in the order of ids. With `removed`, also the entries of purged ones. */
  async *entries(removed = false): AsyncGenerator<IndexEntry> {
    const cursors = this.#readers.map((reader) => new Cursor(reader));
    for (const cursor of cursors) await cursor.fill();
    for (;;) {
      let smallest: string | undefined;
      for (const { current } of cursors)
        if (current !== undefined && (smallest === undefined || compare(current.id, smallest) < 0))
          smallest = current.id;
      if (smallest === undefined) return;
      let newest: IndexEntry | undefined;
      for (const cursor of cursors) {
        if (cursor.current?.id !== smallest) continue;
        newest ??= cursor.current;
        if (!cursor.advance()) await cursor.fill();
      }
      if (newest !== undefined && (removed || newest.leaves.length > 0)) yield newest;
    }
  }
}

/** Reads the entries of one file, block by block. */
class Cursor {
  readonly #reader: IndexReader;
  #block: readonly IndexEntry[] = [];
  #number = -1;
  #at = 0;

  constructor(reader: IndexReader) {
    this.#reader = reader;
  }

  get current(): IndexEntry | undefined {
    return this.#block[this.#at];
  }

  /** Moves on; false if the next block must be read. */
  advance(): boolean {
    this.#at += 1;
    return this.#at < this.#block.length;
  }

  async fill(): Promise<void> {
    this.#at = 0;
    this.#number += 1;
    this.#block = this.#number < this.#reader.blocks ? await this.#reader.block(this.#number) : [];
  }
}

/** A file is merged with the newer ones if it is at most this many times larger than all of them together. */
const MERGE_RATIO = 2;
/** So many files a lookup reads at most; more are merged whatever their size. */
const MAX_FILES = 12;

/**
 * Merges the newest files of a chain into one if they have grown in proportion to the older ones, so that a
 * chain stays short and each entry is rewritten only a few times. Old files stay for older snapshots.
 */
export async function compactChain(
  repository: Repository,
  refs: readonly IndexRef[],
): Promise<readonly IndexRef[]> {
  let count = 1;
  let sum = refs[0]?.entries ?? 0;
  for (let at = 1; at < refs.length; at += 1) {
    const entries = refs[at]?.entries ?? 0;
    if (entries <= MERGE_RATIO * sum || refs.length - count >= MAX_FILES) count = at + 1;
    sum += entries;
  }
  if (count === 1) return refs;
  const isWhole = count === refs.length;
  const chain = await Chain.open(repository, refs.slice(0, count));
  const writer = new IndexWriter(repository);
  try {
    // Entries of purged documents are needed only while an older file has them.
    for await (const entry of chain.entries(!isWhole)) await writer.add(entry);
    const merged = await writer.finish();
    return [...(merged === undefined ? [] : [merged]), ...refs.slice(count)];
  } catch (error) {
    await writer.discard();
    throw error;
  }
}
