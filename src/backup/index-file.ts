// Writes and reads index files: the leaves of each document by id, sorted, with the place of each in the
// packs.
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { openBox, sealBox } from './box.ts';
import { Damaged } from './errors.ts';
import { openContentFile, openDraft, readPart, readPartOf, type Draft } from './files.ts';
import { IndexBlock } from './index-block.ts';
import {
  directoryIn,
  entriesIn,
  formIn,
  formLine,
  type Directory,
  type LeafLine,
  type RawEntry,
  type StoredAttachment,
} from './index-shape.ts';
import { type PackPlace } from './pack.ts';
import { type Repository } from './repository.ts';

export type { StoredAttachment };

export const INDEX_MAGIC = Buffer.from('CGINDX1\n');
/** Offset of the directory (8 bytes, big endian), then the magic. */
const TRAILER_BYTES = 16;
const BLOCK_ENTRIES = 512;
/**
 * A block ends earlier if its lines are longer: names of attachments and ids may have megabytes, and a block
 * is one string. A single longer line is a block of its own.
 */
const BLOCK_CHARACTERS = 4 * 1024 * 1024;

export interface IndexedLeaf {
  readonly rev: string;
  readonly deleted: boolean;
  /** Content hash. */
  readonly hash: string;
  readonly place: PackPlace;
  readonly attachments: readonly StoredAttachment[];
}

/** The leaves of one document. Without leaves: the document was purged. */
export interface IndexEntry {
  readonly id: string;
  readonly leaves: readonly IndexedLeaf[];
}

/** An index file as a snapshot names it. */
export interface IndexRef {
  readonly name: string;
  readonly entries: number;
}

/** A leaf as an index file has it; `pack` is the number of its pack there. */
export function leafLine({ rev, deleted, hash, place, attachments }: IndexedLeaf, pack: number): LeafLine {
  const line = [rev, deleted ? 1 : 0, hash, pack, place.offset, place.length, place.line] as const;
  if (attachments.length === 0) return line;
  return [
    ...line,
    attachments.map(
      ({ name, sha256, digest, revpos, length, form }) =>
        [name, sha256, digest, revpos, length, ...formLine(form)] as const,
    ),
  ];
}

/** Writes one index file. Entries must come in the order of their ids, each id once. */
export class IndexWriter {
  readonly #repository: Repository;
  readonly #digest = createHash('sha256');
  readonly #packs = new Map<string, number>();
  readonly #blocks: [string, number, number, number][] = [];
  #draft: Draft | undefined;
  #offset = 0;
  #entries = 0;
  #first = '';
  #lines: string[] = [];
  #characters = 0;

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  async add(entry: IndexEntry): Promise<void> {
    const line = JSON.stringify([entry.id, entry.leaves.map((leaf) => this.#leafLine(leaf))]);
    if (this.#lines.length === BLOCK_ENTRIES || this.#characters + line.length > BLOCK_CHARACTERS)
      await this.#endBlock();
    if (this.#lines.length === 0) this.#first = entry.id;
    this.#lines.push(line);
    this.#characters += line.length;
    this.#entries += 1;
  }

  /** Puts the file into the repository; undefined without entries. */
  async finish(): Promise<IndexRef | undefined> {
    if (this.#entries === 0) return undefined;
    await this.#endBlock();
    const directory: Directory = {
      packs: [...this.#packs.keys()],
      blocks: this.#blocks,
      entries: this.#entries,
    };
    const start = this.#offset;
    await this.#write(
      await sealBox(Buffer.from(JSON.stringify(directory)), 'directory', this.#repository.cipher),
    );
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeBigUInt64BE(BigInt(start), 0);
    INDEX_MAGIC.copy(trailer, 8);
    await this.#write(trailer);
    const name = this.#digest.digest('hex');
    await this.#draft?.publish(this.#repository.pathOf('index', name));
    this.#repository.onStored(this.#draft?.bytes ?? 0);
    return { name, entries: this.#entries };
  }

  async discard(): Promise<void> {
    await this.#draft?.discard();
  }

  #leafLine(leaf: IndexedLeaf): LeafLine {
    const { pack } = leaf.place;
    let number = this.#packs.get(pack);
    if (number === undefined) this.#packs.set(pack, (number = this.#packs.size));
    return leafLine(leaf, number);
  }

  async #endBlock(): Promise<void> {
    if (this.#lines.length === 0) return;
    const plain = Buffer.from(this.#lines.join('\n'));
    const box = await sealBox(plain, 'index', this.#repository.cipher);
    this.#blocks.push([
      this.#first,
      Math.max(this.#offset, INDEX_MAGIC.length),
      box.length,
      this.#lines.length,
    ]);
    this.#lines = [];
    this.#characters = 0;
    await this.#write(box);
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#draft === undefined) {
      this.#draft = await openDraft(this.#repository.folder);
      await this.#draft.write(INDEX_MAGIC);
      this.#digest.update(INDEX_MAGIC);
      this.#offset = INDEX_MAGIC.length;
    }
    await this.#draft.write(bytes);
    this.#digest.update(bytes);
    this.#offset += bytes.length;
  }
}

/** Blocks that lookups keep, in bytes of the file; in memory they need about twice as much. */
const CACHED_BYTES = 12 * 1024 * 1024;

/** Reads one index file. */
export class IndexReader {
  readonly #repository: Repository;
  readonly #path: string;
  readonly #directory: Directory;
  readonly #blocks = new LRUCache<number, Promise<IndexBlock>>({
    maxSize: CACHED_BYTES,
    sizeCalculation: (_, number) => Math.max(1, this.#directory.blocks[number]?.[2] ?? 1),
  });

  private constructor(repository: Repository, path: string, directory: Directory) {
    this.#repository = repository;
    this.#path = path;
    this.#directory = directory;
  }

  /** Opens the file. With `check`, its SHA-256 must be its name. Throws `Damaged`. */
  static async open(repository: Repository, name: string, check = false): Promise<IndexReader> {
    const path = repository.pathOf('index', name);
    const handle = await openContentFile(path);
    try {
      const { size } = await handle.stat();
      const damaged = new Damaged(`The repository is damaged: ${path} is truncated.`);
      const read = (offset: number, length: number): Promise<Buffer> =>
        readPart(handle, path, offset, length);
      if (check) {
        const digest = createHash('sha256');
        for (let at = 0; at < size; at += CHECK_BYTES)
          digest.update(await read(at, Math.min(CHECK_BYTES, size - at)));
        if (digest.digest('hex') !== name)
          throw new Damaged(
            `The repository is damaged: the content of ${path} does not have its name as SHA-256.`,
          );
      }
      if (size < TRAILER_BYTES) throw damaged;
      const trailer = await read(size - TRAILER_BYTES, TRAILER_BYTES);
      const start = Number(trailer.readBigUInt64BE(0));
      if (!trailer.subarray(8).equals(INDEX_MAGIC) || start > size - TRAILER_BYTES) throw damaged;
      const box = await read(start, size - TRAILER_BYTES - start);
      const plain = await openBox(box, 'directory', repository.cipher, path);
      return new IndexReader(repository, path, directoryIn(plain, path));
    } finally {
      await handle.close();
    }
  }

  get packs(): readonly string[] {
    return this.#directory.packs;
  }

  get entries(): number {
    return this.#directory.entries;
  }

  get blocks(): number {
    return this.#directory.blocks.length;
  }

  /** Returns the entry of a document, if the file has one. */
  async lookup(id: string): Promise<IndexEntry | undefined> {
    const { blocks } = this.#directory;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((blocks[middle]?.[0] ?? '') <= id) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const line = (await this.#kept(low - 1)).lineOf(id);
    if (line === undefined) return undefined;
    const [entry] = entriesIn(line, this.packs.length, this.#path);
    return entry?.[0] === id ? this.#entry(entry) : undefined;
  }

  /** Reads one block of entries. It is not kept: all blocks together are larger than the memory. */
  async block(number: number): Promise<readonly IndexEntry[]> {
    const { plain } = await (this.#blocks.get(number) ?? this.#read(number));
    return entriesIn(plain, this.packs.length, this.#path).map((entry) => this.#entry(entry));
  }

  #kept(number: number): Promise<IndexBlock> {
    const known = this.#blocks.get(number);
    if (known !== undefined) return known;
    const read = this.#read(number);
    this.#blocks.set(number, read);
    read.catch(() => this.#blocks.delete(number));
    return read;
  }

  async #read(number: number): Promise<IndexBlock> {
    const [, offset, length] = this.#directory.blocks[number] ?? ['', 0, 0];
    const box = await readPartOf(this.#path, offset, length);
    return new IndexBlock(await openBox(box, 'index', this.#repository.cipher, this.#path));
  }

  #entry([id, leaves]: RawEntry): IndexEntry {
    return {
      id,
      leaves: leaves.map(([rev, deleted, hash, pack, offset, length, at, attachments = []]) => ({
        rev,
        deleted: deleted === 1,
        hash,
        place: { pack: this.#directory.packs[pack] ?? '', offset, length, line: at },
        attachments: attachments.map(([name, sha256, digest, revpos, bytes, ...form]) => ({
          name,
          sha256,
          digest,
          revpos,
          length: bytes,
          ...formIn(form),
        })),
      })),
    };
  }
}

const CHECK_BYTES = 1024 * 1024;
