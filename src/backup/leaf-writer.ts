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
import { packLine, PackWriter, sealFrame } from './pack.ts';
import { type Repository } from './repository.ts';

/** A leaf to store, or the place of one that the repository has. */
export type LeafToStore =
  | { readonly stored: IndexedLeaf }
  | { readonly leaf: LeafText; readonly hash: string; readonly attachments: readonly StoredAttachment[] };

const FRAME_CHARACTERS = 256 * 1024;
/** Stands for the pack that is being written: its name is known at the end. */
const THIS_PACK = '';

/** A batch that takes no more documents. */
export interface EndedBatch {
  /** Puts its pack and its index file on disk. Undefined without documents. */
  finish(): Promise<IndexRef | undefined>;
}

interface Frame {
  readonly box: Promise<Buffer>;
  readonly characters: number;
  readonly documents: readonly { readonly id: string; readonly leaves: readonly (IndexedLeaf | Waiting)[] }[];
}

/** Calls may overlap: frames are compressed at the same time, and written one after the other. */
export class LeafWriter {
  readonly #repository: Repository;
  #pack: PackWriter;
  #entries = new Map<string, IndexEntry>();
  #queue: Promise<unknown> = Promise.resolve();
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
    const frames = this.#frames(documents);
    await this.#inOrder(async () => {
      for (const frame of frames) await this.#write(frame);
    });
  }

  /** Records that a document was purged. */
  remove(id: string): void {
    this.#entries.set(id, { id, leaves: [] });
  }

  /** Ends the batch after the documents that were added before; later ones belong to the next batch. */
  endBatch(): Promise<EndedBatch> {
    return this.#inOrder(() => {
      const [pack, entries] = [this.#pack, this.#entries];
      this.#pack = new PackWriter(this.#repository);
      this.#entries = new Map();
      this.#bytes = 0;
      return Promise.resolve({ finish: () => this.#finish(pack, entries) });
    });
  }

  async discard(): Promise<void> {
    await this.#queue;
    await this.#pack.discard();
  }

  /** Runs `work` after everything that was queued before, whether that failed or not. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #finish(pack: PackWriter, written: ReadonlyMap<string, IndexEntry>): Promise<IndexRef | undefined> {
    const writer = new IndexWriter(this.#repository);
    try {
      const name = await pack.finish();
      for (const { id, leaves } of [...written.values()].sort((a, b) => compare(a.id, b.id)))
        await writer.add({
          id,
          leaves: leaves.map((leaf) =>
            leaf.place.pack === THIS_PACK ? { ...leaf, place: { ...leaf.place, pack: name ?? '' } } : leaf,
          ),
        });
      return await writer.finish();
    } catch (error) {
      await pack.discard();
      await writer.discard();
      throw error;
    }
  }

  /** Divides documents into frames, and begins to compress them. */
  #frames(
    documents: readonly { readonly id: string; readonly leaves: readonly LeafToStore[] }[],
  ): readonly Frame[] {
    const frames: Frame[] = [];
    let lines: string[] = [];
    let size = 0;
    let waiting: { readonly id: string; readonly leaves: readonly (IndexedLeaf | Waiting)[] }[] = [];
    const end = (): void => {
      const box = lines.length === 0 ? Promise.resolve(NO_FRAME) : sealFrame(this.#repository, lines);
      // Its failure is reported when its turn comes.
      box.catch(() => undefined);
      frames.push({ box, characters: size, documents: waiting });
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
        const line = packLine(leaf, hash, attachments);
        const { deleted } = leaf;
        entry.push({
          known: { rev: copyOf(leaf.rev), deleted, hash, attachments },
          line: lines.length,
        });
        lines.push(line);
        size += line.length;
      }
      waiting.push({ id, leaves: entry });
      if (size >= FRAME_CHARACTERS) end();
    }
    if (waiting.length > 0) end();
    return frames;
  }

  async #write({ box, characters, documents }: Frame): Promise<void> {
    const bytes = await box;
    this.#bytes += characters;
    const place = bytes.length === 0 ? { offset: 0, length: 0 } : await this.#pack.append(bytes);
    for (const { id, leaves } of documents)
      this.#entries.set(id, {
        id,
        leaves: leaves.map((leaf) =>
          'place' in leaf ? leaf : { ...leaf.known, place: { ...place, pack: THIS_PACK, line: leaf.line } },
        ),
      });
  }
}

/** A slice of a text would keep the whole answer of CouchDB in memory until the batch ends. */
function copyOf(rev: string): string {
  return Buffer.from(rev).toString();
}

/** Stands for the frame of documents that are stored already. */
const NO_FRAME = Buffer.alloc(0);

interface Waiting {
  readonly known: Omit<IndexedLeaf, 'place'>;
  readonly line: number;
}
