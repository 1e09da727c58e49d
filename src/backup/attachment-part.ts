// Describes a stored attachment for CouchDB: its stub and its bytes, in the form in which it was stored.
import { createGunzip } from 'node:zlib';
import { Readable, pipeline } from 'node:stream';
import { readAttachment } from './attachment-store.ts';
import { Damaged } from './errors.ts';
import { MAX_INLINE_BYTES } from './inline-attachments.ts';
import { type AttachmentStub } from './leaf.ts';
import { type AttachmentPart } from './multipart.ts';
import { type PackedAttachment, type PackedLeaf } from './pack.ts';
import { type Repository } from './repository.ts';

/** True if an attachment keeps its form only as a part of its own: JSON has the content alone. */
export function needsParts({ attachments }: PackedLeaf): boolean {
  return [...attachments.values()].some(({ form }) => form?.encoding === 'gzip');
}

/** The stubs of a leaf, and the parts that follow its JSON, in the same order. */
export function partsOf(
  repository: Repository,
  { leaf, attachments }: PackedLeaf,
): { readonly stubs: readonly [string, object][]; readonly parts: readonly AttachmentPart[] } {
  const all = leaf.stubs.map((stub) => ({ stub, stored: storedOf(attachments, stub) }));
  return {
    stubs: all.map(({ stub, stored }) => [stub.name, { ...described(stub, stored), follows: true }]),
    parts: all.map(({ stub, stored }) => ({
      length: stored.form?.bytes ?? stub.length,
      open: () => readAttachment(repository, stored.sha256),
    })),
  };
}

function described(
  { content_type, revpos, length }: AttachmentStub,
  { form }: PackedAttachment,
): Readonly<Record<string, unknown>> {
  if (form === undefined) return { content_type, revpos, length };
  if (form.encoding === 'identity') return { content_type, revpos, length: form.bytes };
  const bytes = length >= 0 ? length : form.bytes;
  return { content_type, revpos, length: bytes, encoding: form.encoding, encoded_length: form.bytes };
}

/**
 * The stubs of a leaf with the content in them. Throws `Damaged`, also if that is more than a backup reads of
 * a document that no path can name: who can write into the repository could take all memory (H39.8).
 */
export async function inlineStubs(
  repository: Repository,
  { leaf, attachments }: PackedLeaf,
): Promise<readonly [string, object][]> {
  const stubs: [string, object][] = [];
  let bytes = 0;
  for (const stub of leaf.stubs) {
    const parts: Buffer[] = [];
    for await (const part of contentOf(repository, storedOf(attachments, stub))) {
      bytes += part.length;
      if (bytes > MAX_INLINE_BYTES)
        throw new Damaged('The attachments of the document are larger than any that only JSON can transfer.');
      parts.push(part);
    }
    const data = Buffer.concat(parts).toString('base64');
    stubs.push([stub.name, { content_type: stub.content_type, revpos: stub.revpos, data }]);
  }
  return stubs;
}

function contentOf(repository: Repository, { sha256, form }: PackedAttachment): AsyncIterable<Buffer> {
  const stored = readAttachment(repository, sha256);
  // What cannot be unpacked counts as the content.
  if (form?.encoding !== 'gzip' || form.content === sha256) return stored;
  return pipeline(Readable.from(stored), createGunzip(), () => undefined);
}

function storedOf(attachments: PackedLeaf['attachments'], { name }: AttachmentStub): PackedAttachment {
  const stored = attachments.get(name);
  if (stored === undefined)
    throw new Damaged('The repository is damaged: a document lacks the content of an attachment.');
  return stored;
}
