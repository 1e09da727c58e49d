// Writes and reads packs: files of documents, in frames that are compressed separately. A frame is a box of
// kind `pack` (docs/backup-format.md).
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BOX_HEADER_BYTES, boxLength, openBox, sealBox } from './box.ts';
import { JsonCursor } from './canonical.ts';
import { Damaged } from './errors.ts';
import { openContentFile, openDraft, readPartOf, type Draft } from './files.ts';
import { contentOf, formIn, formLine, isForm, type FormLine, type StoredAttachment } from './index-shape.ts';
import { contentHash, leafOf, type LeafText } from './leaf.ts';
import { type Repository } from './repository.ts';

export const PACK_MAGIC = Buffer.from('CGPACK1\n');

/** Where a leaf is: the frame at `offset` of a pack, and the line in it. */
export interface PackPlace {
  readonly pack: string;
  readonly offset: number;
  /** Bytes of the frame. */
  readonly length: number;
  readonly line: number;
}

export type FramePlace = Omit<PackPlace, 'line'>;

/** One line of a frame. */
export interface PackedLeaf {
  readonly leaf: LeafText;
  readonly hash: string;
  /** By name. */
  readonly attachments: ReadonlyMap<string, PackedAttachment>;
}

export type PackedAttachment = Pick<StoredAttachment, 'sha256' | 'form'>;
type NamedAttachment = Pick<StoredAttachment, 'name' | 'sha256' | 'form'>;

/** Returns the line that stores a leaf, without line feed. */
export function packLine(leaf: LeafText, hash: string, attachments: readonly NamedAttachment[]): string {
  const lines = attachments.map(({ name, sha256, form }) => [name, sha256, ...formLine(form)]);
  const names = lines.length === 0 ? '' : `"attachments":${JSON.stringify(lines)},`;
  return `{"hash":"${hash}",${names}"doc":${leaf.raw}}`;
}

/** Compresses and encrypts the lines of one frame. Calls may overlap: the work is in the thread pool. */
export function sealFrame({ cipher }: Repository, lines: readonly string[]): Promise<Buffer> {
  // Written one by one: a joined text of this size would stay in the old part of the heap for long.
  const plain = Buffer.allocUnsafe(lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0));
  let at = 0;
  for (const line of lines) {
    at += plain.write(line, at);
    at = plain.writeUInt8(LINE_FEED, at);
  }
  return sealBox(plain, 'pack', cipher);
}

const LINE_FEED = 0x0a;

/** Writes one pack. Its name is the SHA-256 of its bytes, so it is known at the end. */
export class PackWriter {
  readonly #repository: Repository;
  readonly #digest = createHash('sha256');
  #draft: Draft | undefined;
  #offset = 0;

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#offset;
  }

  /** Writes one frame and returns its place in the pack. Calls must not overlap. */
  async writeFrame(lines: readonly string[]): Promise<Omit<FramePlace, 'pack'>> {
    return this.append(await sealFrame(this.#repository, lines));
  }

  /** Writes a frame that `sealFrame` made. Calls must not overlap. */
  async append(box: Buffer): Promise<Omit<FramePlace, 'pack'>> {
    this.#draft ??= await openDraft(this.#repository.folder);
    if (this.#offset === 0) await this.#write(PACK_MAGIC);
    const offset = this.#offset;
    await this.#write(box);
    return { offset, length: box.length };
  }

  /** Puts the pack into the repository and returns its name; undefined without frames. */
  async finish(): Promise<string | undefined> {
    if (this.#draft === undefined) return undefined;
    const name = this.#digest.digest('hex');
    await this.#draft.publish(this.#repository.pathOf('packs', name));
    this.#repository.onStored(this.#draft.bytes);
    return name;
  }

  async discard(): Promise<void> {
    await this.#draft?.discard();
  }

  async #write(bytes: Buffer): Promise<void> {
    await this.#draft?.write(bytes);
    this.#digest.update(bytes);
    this.#offset += bytes.length;
  }
}

const CACHED_FRAMES = 32;

/** Reads leaves by their place. Keeps a few frames in memory. */
export class PackReader {
  readonly #repository: Repository;
  readonly #frames = new LRUCache<string, Promise<readonly string[]>>({ max: CACHED_FRAMES });

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  /** Reads one leaf and checks its content hash. Throws `Damaged`. */
  async read(place: PackPlace, hash: string): Promise<PackedLeaf> {
    const lines = await this.frame(place);
    return checkedLine(lines[place.line], hash, `pack ${place.pack}`);
  }

  /** Reads the lines of one frame. Throws `Damaged`. */
  frame({ pack, offset, length }: FramePlace): Promise<readonly string[]> {
    const key = `${pack} ${offset}`;
    const known = this.#frames.get(key);
    if (known !== undefined) return known;
    const lines = this.#readFrame(pack, offset, length);
    this.#frames.set(key, lines);
    lines.catch(() => this.#frames.delete(key));
    return lines;
  }

  async #readFrame(pack: string, offset: number, length: number): Promise<readonly string[]> {
    const path = this.#repository.pathOf('packs', pack);
    const box = await readPartOf(path, offset, length);
    return linesOf(await openBox(box, 'pack', this.#repository.cipher, path));
  }
}

/** Parses a line and compares its content with the hash, or the beginning of one. Throws `Damaged`. */
export function checkedLine(line: string | undefined, hash: string, where: string): PackedLeaf {
  if (line === undefined) throw new Damaged(`The repository is damaged: ${where} has too few documents.`);
  let packed;
  try {
    packed = parseLine(line);
  } catch {
    throw new Damaged(`The repository is damaged: ${where} holds a document that cannot be read.`);
  }
  if (
    !packed.hash.startsWith(hash) ||
    contentHash(packed.leaf, contentsOf(packed.attachments)) !== packed.hash
  )
    throw new Damaged(
      `The repository is damaged: a document in ${where} does not have the content that was backed up.`,
    );
  return packed;
}

/** Parses one line of a frame. */
export function parseLine(line: string): PackedLeaf {
  const cursor = new JsonCursor(line);
  let leaf: LeafText | undefined;
  let hash = '';
  let attachments: PackedLeaf['attachments'] = new Map();
  cursor.object((key) => {
    if (key === '"doc"') leaf = leafOf(line, cursor.scanObject());
    else if (key === '"attachments"') attachments = attachmentsIn(cursor.value());
    else if (key === '"hash"') hash = JSON.parse(cursor.value()) as string;
    else cursor.value();
  });
  if (leaf === undefined) throw new Error('a line has no document');
  return { leaf, hash, attachments };
}

/** Throws for a form that is none: the repository may be hostile (H38). */
function attachmentsIn(canonical: string): PackedLeaf['attachments'] {
  const lines = JSON.parse(canonical) as readonly (readonly [string, string, ...FormLine])[];
  return new Map(
    lines.map(([name, sha256, ...form]) => {
      if (!isForm(form)) throw new Error('an attachment has an unknown form');
      return [name, { sha256, ...formIn(form) }];
    }),
  );
}

/** SHA-256 of the content of each attachment. */
function contentsOf(attachments: PackedLeaf['attachments']): ReadonlyMap<string, string> {
  return new Map([...attachments].map(([name, one]) => [name, contentOf(one)]));
}

export function linesOf(plain: Buffer): readonly string[] {
  const lines = plain.toString().split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/**
 * Reads a pack from its beginning to its end: every frame, and at the end a comparison of the SHA-256 with
 * the name. Throws `Damaged`.
 */
export async function* readWholePack(
  repository: Repository,
  pack: string,
): AsyncGenerator<{ readonly offset: number; readonly lines: readonly string[] }> {
  const path = repository.pathOf('packs', pack);
  const handle = await openContentFile(path);
  const digest = createHash('sha256');
  try {
    const read = async (length: number): Promise<Buffer> => {
      const bytes = Buffer.alloc(length);
      const { bytesRead } = await handle.read(bytes, 0, length, null);
      digest.update(bytes.subarray(0, bytesRead));
      return bytes.subarray(0, bytesRead);
    };
    if (!(await read(PACK_MAGIC.length)).equals(PACK_MAGIC))
      throw new Damaged(`The repository is damaged: ${path} is not a pack.`);
    const { size } = await handle.stat();
    for (let offset = PACK_MAGIC.length; offset < size;) {
      const header = await read(BOX_HEADER_BYTES);
      const length = boxLength(header);
      if (offset + length > size) throw new Damaged(`The repository is damaged: ${path} is truncated.`);
      const box = Buffer.concat([header, await read(length - BOX_HEADER_BYTES)]);
      yield { offset, lines: linesOf(await openBox(box, 'pack', repository.cipher, path)) };
      offset += length;
    }
    if (digest.digest('hex') !== pack)
      throw new Damaged(
        `The repository is damaged: the content of ${path} does not have its name as SHA-256.`,
      );
  } finally {
    await handle.close();
  }
}
