// Parses the parts of an index file, and checks their form: the repository may be hostile (H38).
import { Damaged } from './errors.ts';
import { isContentName } from './repository.ts';

export interface Directory {
  readonly packs: readonly string[];
  /** First id, offset, bytes and number of entries of each block. */
  readonly blocks: readonly (readonly [string, number, number, number])[];
  readonly entries: number;
}

/** The form of an attachment whose bytes are not the `length` bytes of its content. */
export interface StoredForm {
  /** `gzip` = the bytes that CouchDB stores; `identity` = the content, which CouchDB stores compressed. */
  readonly encoding: 'gzip' | 'identity';
  /** SHA-256 of the content; of the stored bytes, if they cannot be unpacked. */
  readonly content: string;
  /** Bytes in the repository. */
  readonly bytes: number;
}

/** An attachment of a stored leaf. */
export interface StoredAttachment {
  readonly name: string;
  /** SHA-256 of the bytes in the repository: those of the content, if there is no `form`. */
  readonly sha256: string;
  readonly digest: string;
  readonly revpos: number;
  readonly length: number;
  readonly form?: StoredForm;
}

/** SHA-256 of the content, in whatever form it is stored. */
export function contentOf({ sha256, form }: Pick<StoredAttachment, 'sha256' | 'form'>): string {
  return form?.content ?? sha256;
}

/** The form as further items of a list; empty without one. */
export type FormLine = readonly [] | readonly [encoding: string, content: string, bytes: number];

export function formLine(form: StoredForm | undefined): FormLine {
  return form === undefined ? [] : [form.encoding, form.content, form.bytes];
}

export function formIn([encoding, content = '', bytes = 0]: FormLine): { readonly form?: StoredForm } {
  if (encoding === undefined) return {};
  return { form: { encoding: encoding === 'gzip' ? 'gzip' : 'identity', content, bytes } };
}

/** True for the items of a form, or for none. */
export function isForm(form: readonly unknown[]): boolean {
  const [encoding, content, bytes] = form;
  if (form.length === 0) return true;
  return (encoding === 'gzip' || encoding === 'identity') && isContentName(content) && isCount(bytes);
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
    ...form: FormLine,
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

/** True if `entriesIn` accepts the entry. */
export function isEntry(value: unknown, packs: number): boolean {
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
  const [name, sha256, digest, revpos, length, ...form] = value as readonly unknown[];
  return (
    typeof name === 'string' &&
    isContentName(sha256) &&
    typeof digest === 'string' &&
    isCount(revpos) &&
    isCount(length) &&
    isForm(form)
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
