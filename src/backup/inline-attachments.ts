// Reads attachments inside the JSON of their document: those that no path can name, and those whose content
// type makes their answer invalid HTTP. CouchDB sends their content only, not what it stores.
import { Unavailable } from '../http-errors.ts';
import { type AttachmentStub, type LeafText, membersOf } from './leaf.ts';
import { type DatabaseSource } from './source.ts';

/** All attachments of the revision are in the JSON, and several such texts may be in memory. */
export const MAX_INLINE_BYTES = 32 * 1024 * 1024;

/** deflate makes at most so many bytes out of one. */
const MAX_RATIO = 1032;

/** The attachments of one leaf; they are read once, when the first one is needed. */
export class InlineAttachments {
  readonly #source: DatabaseSource;
  readonly #leaf: LeafText;
  #contents: Promise<ReadonlyMap<string, Buffer>> | undefined;

  constructor(source: DatabaseSource, leaf: LeafText) {
    this.#source = source;
    this.#leaf = leaf;
  }

  /**
   * False if CouchDB would perhaps unpack more than `MAX_INLINE_BYTES` before it answers: a few hundred
   * kilobytes of a writer can take all memory of the node (H39.5).
   */
  get isBounded(): boolean {
    return this.#leaf.stubs.reduce((sum, stub) => sum + mostBytes(stub), 0) <= MAX_INLINE_BYTES;
  }

  /** Undefined if it cannot be read so. Only for a leaf whose attachments are bounded. */
  async content(name: string): Promise<Buffer | undefined> {
    this.#contents ??= this.#read();
    return (await this.#contents).get(name);
  }

  async #read(): Promise<ReadonlyMap<string, Buffer>> {
    const { id, rev } = this.#leaf;
    const options = { maxBytes: MAX_INLINE_BYTES, withData: true, patienceMs: 0 };
    try {
      const read = await this.#source.revisions(id, [rev], options);
      const leaf = 'leaves' in read ? read.leaves.find((one) => one.rev === rev) : undefined;
      return leaf === undefined ? new Map() : dataIn(leaf);
    } catch (error) {
      // CouchDB fails at an attachment that it cannot unpack. In an outage, the next request fails too.
      if (error instanceof Unavailable) return new Map();
      throw error;
    }
  }
}

/** Of a compressed attachment, `length` is what a client said; `encoded_length` is what CouchDB has. */
function mostBytes({ length, encoding, encoded_length: encoded = -1 }: AttachmentStub): number {
  if (encoding === undefined) return Math.max(0, length);
  return encoded < 0 ? Infinity : encoded * MAX_RATIO;
}

function dataIn(leaf: LeafText): ReadonlyMap<string, Buffer> {
  const member = membersOf(leaf).find(({ name }) => name === '_attachments');
  const found = JSON.parse(member?.canonical ?? '{}') as Readonly<
    Record<string, { readonly data?: unknown }>
  >;
  const contents = new Map<string, Buffer>();
  for (const [name, { data }] of Object.entries(found))
    if (typeof data === 'string') contents.set(name, Buffer.from(data, 'base64'));
  return contents;
}
