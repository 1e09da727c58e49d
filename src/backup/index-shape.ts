// Parses the parts of an index file, and checks their form: the repository may be hostile (H38).
import { Damaged } from './errors.ts';
import { isContentName } from './repository.ts';

export interface Directory {
  readonly packs: readonly string[];
  /** First id, offset, bytes and number of entries of each block. */
  readonly blocks: readonly (readonly [string, number, number, number])[];
  readonly entries: number;
}

export type LeafLine = readonly [
  rev: string,
  deleted: 0 | 1,
  hash: string,
  pack: number,
  offset: number,
  length: number,
  line: number,
  attachments?: readonly (readonly [
    name: string,
    sha256: string,
    digest: string,
    revpos: number,
    length: number,
  ])[],
];

export type RawEntry = readonly [id: string, leaves: readonly LeafLine[]];

/** Throws `Damaged`. `path` names the file. */
export function directoryIn(plain: Buffer, path: string): Directory {
  const value = parsed(plain.toString(), path) as Partial<Directory> | null;
  const { packs, blocks, entries } = value ?? {};
  const isRight =
    Array.isArray(packs) &&
    // '' stands for a document that is not in a pack.
    packs.every((name) => name === '' || isContentName(name)) &&
    Array.isArray(blocks) &&
    blocks.every(isBlock) &&
    isCount(entries);
  if (!isRight) throw wrong(path);
  return { packs, blocks, entries };
}

/** The entries of a block; `packs` is the number of packs in the directory. Throws `Damaged`. */
export function entriesIn(plain: Buffer, packs: number, path: string): readonly RawEntry[] {
  const entries = parsed(`[${plain.toString().replaceAll('\n', ',')}]`, path) as readonly unknown[];
  for (const entry of entries) if (!isEntry(entry, packs)) throw wrong(path);
  return entries as readonly RawEntry[];
}

function isBlock(value: unknown): boolean {
  if (!Array.isArray(value)) return false;
  const [first, offset, bytes, entries] = value as readonly unknown[];
  return typeof first === 'string' && isCount(offset) && isCount(bytes) && isCount(entries);
}

function isEntry(value: unknown, packs: number): boolean {
  if (!Array.isArray(value)) return false;
  const [id, leaves] = value as readonly unknown[];
  return typeof id === 'string' && Array.isArray(leaves) && leaves.every((leaf) => isLeaf(leaf, packs));
}

function isLeaf(value: unknown, packs: number): boolean {
  if (!Array.isArray(value)) return false;
  const [rev, , hash, pack, offset, length, line, attachments = []] = value as readonly unknown[];
  return (
    typeof rev === 'string' &&
    isContentName(hash) &&
    isCount(pack) &&
    pack < packs &&
    isCount(offset) &&
    isCount(length) &&
    isCount(line) &&
    Array.isArray(attachments) &&
    attachments.every(isAttachment)
  );
}

function isAttachment(value: unknown): boolean {
  if (!Array.isArray(value)) return false;
  const [name, sha256, digest, revpos, length] = value as readonly unknown[];
  return (
    typeof name === 'string' &&
    isContentName(sha256) &&
    typeof digest === 'string' &&
    isCount(revpos) &&
    isCount(length)
  );
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw wrong(path);
  }
}

function wrong(path: string): Damaged {
  return new Damaged(`The repository is damaged: ${path} cannot be read.`);
}
