// Collects the leaves of a run, writes them into packs, and ends each batch with an index file.
import { compare } from './canonical.ts';
import {
  IndexWriter,
  type IndexedLeaf,
  type IndexEntry,
  type IndexRef,
  type StoredAttachment,
} from './index-file.ts';
import { type LeafText } from './leaf.ts';
import { packLine, PackWriter } from './pack.ts';
import { type Repository } from './repository.ts';

/** A leaf to store, or the place of one that the repository has. */
export type LeafToStore =
  | { readonly stored: IndexedLeaf }
  | { readonly leaf: LeafText; readonly hash: string; readonly attachments: readonly StoredAttachment[] };

const FRAME_CHARACTERS = 256 * 1024;
/** Stands for the pack that is being written: its name is known at the end. */
const THIS_PACK = '';

/** Calls may overlap; frames are written one after the other. */
export class LeafWriter {
  readonly #repository: Repository;
  #pack: PackWriter;
  #entries = new Map<string, IndexEntry>();
  #queue: Promise<void> = Promise.resolve();
  #bytes = 0;

  constructor(repository: Repository) {
    this.#repository = repository;
    this.#pack = new PackWriter(repository);
  }

  /** Characters of documents since the last batch ended. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Documents since the last batch ended. */
  get documents(): number {
    return this.#entries.size;
  }

  /** Stores documents with all their leaves. */
  async add(
    documents: readonly { readonly id: string; readonly leaves: readonly LeafToStore[] }[],
  ): Promise<void> {
    const work = this.#queue.then(() => this.#write(documents));
    this.#queue = work.catch(() => undefined);
    return work;
  }

  /** Records that a document was purged. */
  remove(id: string): void {
    this.#entries.set(id, { id, leaves: [] });
  }

  /** Ends the batch: its pack and its index file are on disk. Undefined without documents. */
  async endBatch(): Promise<IndexRef | undefined> {
    await this.#queue;
    const name = await this.#pack.finish();
    const entries = [...this.#entries.values()].sort((a, b) => compare(a.id, b.id));
    this.#pack = new PackWriter(this.#repository);
    this.#entries = new Map();
    this.#bytes = 0;
    const writer = new IndexWriter(this.#repository);
    try {
      for (const { id, leaves } of entries)
        await writer.add({
          id,
          leaves: leaves.map((leaf) =>
            leaf.place.pack === THIS_PACK ? { ...leaf, place: { ...leaf.place, pack: name ?? '' } } : leaf,
          ),
        });
      return await writer.finish();
    } catch (error) {
      await writer.discard();
      throw error;
    }
  }

  async discard(): Promise<void> {
    await this.#queue;
    await this.#pack.discard();
  }

  async #write(
    documents: readonly { readonly id: string; readonly leaves: readonly LeafToStore[] }[],
  ): Promise<void> {
    let lines: string[] = [];
    let size = 0;
    let waiting: { readonly id: string; readonly leaves: (IndexedLeaf | Waiting)[] }[] = [];
    const flush = async (): Promise<void> => {
      const place = lines.length === 0 ? { offset: 0, length: 0 } : await this.#pack.writeFrame(lines);
      for (const { id, leaves } of waiting)
        this.#entries.set(id, {
          id,
          leaves: leaves.map((leaf) =>
            'place' in leaf ? leaf : { ...leaf.known, place: { ...place, pack: THIS_PACK, line: leaf.line } },
          ),
        });
      [lines, size, waiting] = [[], 0, []];
    };
    for (const { id, leaves } of documents) {
      const entry: (IndexedLeaf | Waiting)[] = [];
      for (const one of leaves) {
        if ('stored' in one) {
          entry.push(one.stored);
          continue;
        }
        const { leaf, hash, attachments } = one;
        const hashes = new Map(attachments.map(({ name, sha256 }) => [name, sha256]));
        const line = packLine(leaf, hash, hashes);
        entry.push({
          known: { rev: leaf.rev, deleted: leaf.deleted, hash, attachments },
          line: lines.length,
        });
        lines.push(line);
        size += line.length;
        this.#bytes += line.length;
      }
      waiting.push({ id, leaves: entry });
      if (size >= FRAME_CHARACTERS) await flush();
    }
    await flush();
  }
}

interface Waiting {
  readonly known: Omit<IndexedLeaf, 'place'>;
  readonly line: number;
}
