// Reads an attachment in the form in which CouchDB stores it, so that it can be restored byte for byte, and
// hashes its content.
import { createHash } from 'node:crypto';
import { finished } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Unavailable } from '../http-errors.ts';
import { InvalidAnswer } from '../couch/transfer.ts';
import { BackupError } from './errors.ts';
import { contentOf, type StoredAttachment } from './index-shape.ts';
import { InlineAttachments } from './inline-attachments.ts';
import { type AttachmentStub, type LeafText } from './leaf.ts';
import { type DatabaseSource } from './source.ts';

/** Stores the content of an attachment and returns its SHA-256 and its length. */
export type StoreContent = (
  content: AsyncIterable<Buffer>,
) => Promise<{ readonly sha256: string; readonly length: number }>;

/** An attachment of this revision cannot be read, perhaps because the document has changed. */
export class AttachmentUnreadable extends Error {
  /** False if another attempt would fail too, while the document stays as it is. */
  readonly mayPass: boolean;
  /** The message without names. */
  readonly reason: string;

  constructor(where: string, reason: string, mayPass: boolean) {
    super(`${where}: ${reason}`);
    this.reason = reason;
    this.mayPass = mayPass;
  }
}

/** A content that is larger than this, or than so many times what is stored, is not unpacked (H39.2). */
const UNPACKED_BYTES = 16 * 1024 * 1024;
const UNPACKED_RATIO = 100;

const UNBOUNDED = 'within JSON, CouchDB might unpack more than it has memory for';

/** Reads attachments of `source` into `store`. */
export class AttachmentReader {
  readonly #source: DatabaseSource;
  readonly #store: StoreContent;

  constructor(source: DatabaseSource, store: StoreContent) {
    this.#source = source;
    this.#store = store;
  }

  /** Throws `AttachmentUnreadable`, or the failure of the store. */
  async read(
    leaf: LeafText,
    stub: AttachmentStub,
    inline: InlineAttachments,
    patienceMs: number,
  ): Promise<StoredAttachment> {
    try {
      return await this.#direct(leaf, stub, patienceMs);
    } catch (error) {
      if (!(error instanceof AttachmentUnreadable) || error.mayPass) throw error;
      if (!inline.isBounded) throw unreadable(leaf, stub, `${error.reason}; ${UNBOUNDED}`, false);
      const data = await inline.content(stub.name);
      if (data === undefined) throw error;
      return this.#fromJson(leaf, stub, data);
    }
  }

  async #fromJson(leaf: LeafText, stub: AttachmentStub, data: Buffer): Promise<StoredAttachment> {
    const { name, digest, revpos, length } = stub;
    const isEncoded = stub.encoding !== undefined;
    if (!isEncoded && length >= 0 && data.length !== length)
      throw unreadable(leaf, stub, `${data.length} of ${length} bytes arrived`, false);
    const { sha256 } = await this.#keep(leaf, stub, [data]);
    const form = { encoding: 'identity', content: sha256, bytes: data.length } as const;
    const bytes = isEncoded && length >= 0 ? length : data.length;
    const stored = { name, sha256, digest, revpos, length: bytes };
    // The length has to come from somewhere when the attachment is restored.
    return isEncoded || length < 0 ? { ...stored, form } : stored;
  }

  async #direct(leaf: LeafText, stub: AttachmentStub, patienceMs: number): Promise<StoredAttachment> {
    const content = await this.#open(leaf, stub, patienceMs);
    const { name, digest, revpos, length, encoded_length: encodedLength } = stub;
    if (stub.encoding !== 'gzip') {
      const stored = await this.#keep(leaf, stub, content);
      if (length >= 0 && stored.length !== length)
        throw unreadable(leaf, stub, `${stored.length} of ${length} bytes arrived`, false);
      const { sha256, length: bytes } = stored;
      const form = { encoding: 'identity', content: sha256, bytes } as const;
      return { name, sha256, digest, revpos, length: bytes, ...(length < 0 ? { form } : {}) };
    }
    const md5 = createHash('md5');
    const unpacked = new UnpackedHash(UNPACKED_BYTES + UNPACKED_RATIO * Math.max(0, encodedLength ?? 0));
    const observed = observe(content, async (part) => {
      md5.update(part);
      await unpacked.add(part);
    });
    const stored = await this.#keep(leaf, stub, observed);
    const unpackedHash = await unpacked.end();
    if (`md5-${md5.digest('base64')}` !== digest)
      throw unreadable(leaf, stub, 'CouchDB did not send what it stores', false);
    const form = {
      encoding: 'gzip',
      content: unpackedHash ?? stored.sha256,
      bytes: stored.length,
    } as const;
    const bytes = length >= 0 ? length : stored.length;
    return { name, sha256: stored.sha256, digest, revpos, length: bytes, form };
  }

  async #open(leaf: LeafText, stub: AttachmentStub, patienceMs: number): Promise<Readable> {
    let content: Readable | undefined;
    try {
      const isEncoded = stub.encoding === 'gzip';
      content = await this.#source.attachment(leaf.id, leaf.rev, stub.name, { isEncoded, patienceMs });
    } catch (error) {
      if (error instanceof Unavailable) throw unreadable(leaf, stub, 'CouchDB cannot be reached', true);
      if (error instanceof InvalidAnswer) throw unreadable(leaf, stub, 'CouchDB sent no valid HTTP', false);
      throw error;
    }
    if (content === undefined) throw unreadable(leaf, stub, 'not found', false);
    return content;
  }

  async #keep(leaf: LeafText, stub: AttachmentStub, content: AsyncIterable<Buffer> | readonly Buffer[]) {
    try {
      return await this.#store(Readable.from(content) as AsyncIterable<Buffer>);
    } catch (error) {
      // A full disk is not the fault of this document.
      throw error instanceof BackupError
        ? error
        : unreadable(leaf, stub, 'the transfer was interrupted', true);
    }
  }
}

/** Clients choose names and revisions: a reason has their beginning only. */
const SHOWN_CHARACTERS = 200;

function unreadable(
  { rev }: LeafText,
  { name }: AttachmentStub,
  reason: string,
  mayPass: boolean,
): AttachmentUnreadable {
  const [shownName, shownRev] = [name, rev].map((text) => text.slice(0, SHOWN_CHARACTERS));
  return new AttachmentUnreadable(
    `attachment ${JSON.stringify(shownName)} of ${shownRev ?? ''}`,
    reason,
    mayPass,
  );
}

async function* observe(
  content: AsyncIterable<Buffer>,
  see: (part: Buffer) => Promise<void>,
): AsyncGenerator<Buffer> {
  for await (const part of content) {
    await see(part);
    yield part;
  }
}

/** The SHA-256 of content that arrives packed. */
class UnpackedHash {
  readonly #gunzip = createGunzip();
  readonly #digest = createHash('sha256');
  readonly #done: Promise<boolean>;
  #isOver = false;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#gunzip.on('data', (part: Buffer) => {
      this.#bytes += part.length;
      this.#digest.update(part);
      if (this.#bytes > maxBytes) this.#gunzip.destroy(new Error('the content is too large'));
    });
    this.#done = finished(this.#gunzip).then(
      () => true,
      () => {
        this.#isOver = true;
        return false;
      },
    );
  }

  async add(part: Buffer): Promise<void> {
    if (this.#isOver || this.#gunzip.writableEnded) return;
    await new Promise<void>((resolve) => {
      void this.#done.then(() => resolve());
      this.#gunzip.write(part, () => resolve());
    });
  }

  /** Undefined if it is no gzip, or unpacks to too much. */
  async end(): Promise<string | undefined> {
    if (!this.#isOver) this.#gunzip.end();
    return (await this.#done) ? this.#digest.digest('hex') : undefined;
  }
}

/** The SHA-256 of the content of each attachment of a live revision; undefined if one cannot be read. */
export async function contentHashes(
  source: DatabaseSource,
  leaf: LeafText,
): Promise<ReadonlyMap<string, string> | undefined> {
  const reader = new AttachmentReader(source, hashOnly);
  const inline = new InlineAttachments(source, leaf);
  const hashes = new Map<string, string>();
  for (const stub of leaf.stubs)
    try {
      hashes.set(stub.name, contentOf(await reader.read(leaf, stub, inline, LIVE_PATIENCE_MS)));
    } catch (error) {
      if (!(error instanceof AttachmentUnreadable)) throw error;
      return undefined;
    }
  return hashes;
}

/** Somebody waits for the answer. */
const LIVE_PATIENCE_MS = 10_000;

/** Stores nothing. */
export const hashOnly: StoreContent = async (content) => {
  const digest = createHash('sha256');
  let length = 0;
  for await (const part of content) {
    digest.update(part);
    length += part.length;
  }
  return { sha256: digest.digest('hex'), length };
};
