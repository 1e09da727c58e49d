// Reads documents with all leaves and attachments into a repository, and names what cannot be read.
import { setTimeout as delay } from 'node:timers/promises';
import { AttachmentReader, AttachmentUnreadable, type StoreContent } from './attachment-reader.ts';
import { storeAttachment } from './attachment-store.ts';
import { isMissing, type DocumentRead } from './bulk-get-answer.ts';
import { documentFault } from './document-fault.ts';
import { type IndexedLeaf, type IndexEntry } from './index-file.ts';
import { contentOf, type StoredAttachment } from './index-shape.ts';
import { ancestorsOf, contentHash, type AttachmentStub, type LeafText } from './leaf.ts';
import { InlineAttachments } from './inline-attachments.ts';
import { storeLargeDocument } from './large-document.ts';
import { type LeafToStore } from './leaf-writer.ts';
import { paced, type Pace } from './pace.ts';
import { hasFewLeaves } from './page-groups.ts';
import { type PackWriter } from './pack.ts';
import { Patience } from './patience.ts';
import { type Repository } from './repository.ts';
import { type DatabaseSource, type ReadOptions } from './source.ts';
import { isStorable } from './storable.ts';

/** A document to read, with what the repository has of it. */
export interface WantedDocument {
  readonly id: string;
  /** The leaf revisions that the feed named. Each of them, or a later one, must be read. */
  readonly revs: readonly string[];
  readonly known: IndexEntry | undefined;
}

export type DocumentOutcome =
  | { readonly id: string; readonly leaves: readonly LeafToStore[]; readonly bytes: number }
  /** It was purged: a majority of the copies can be read, and none has it. */
  | { readonly id: string; readonly gone: true }
  | { readonly id: string; readonly problem: string };

const ATTEMPTS = 4;
const PAUSE_MS = 250;

export interface DocumentReaderDeps {
  /** Stores the content of attachments. */
  readonly store: StoreContent;
  /** Begins a pack for a document that is too large for a batch; absent if nothing is stored. */
  readonly startPack?: () => PackWriter;
  readonly patience?: Patience;
}

/** Reads documents, and stores attachments and very large documents. */
export class DocumentReader {
  readonly #source: DatabaseSource;
  readonly #startPack: (() => PackWriter) | undefined;
  readonly #patience: Patience;
  readonly #attachments: AttachmentReader;

  constructor(source: DatabaseSource, { store, startPack, patience = new Patience() }: DocumentReaderDeps) {
    this.#source = source;
    this.#startPack = startPack;
    this.#patience = patience;
    this.#attachments = new AttachmentReader(source, store);
  }

  /** Returns one outcome for each document. Throws only if nothing at all can be read or written. */
  async read(wanted: readonly WantedDocument[]): Promise<readonly DocumentOutcome[]> {
    const together = wanted.filter(hasFewLeaves).map(({ id }) => id);
    const reads = await this.#patiently((options) => this.#source.leaves(together, options));
    const readById = new Map(reads.map((read) => [read.id, read]));
    const outcomes: DocumentOutcome[] = [];
    for (const document of wanted) {
      const read = readById.get(document.id);
      outcomes.push(storableOr(plainOutcome(document, read) ?? (await this.#guarded(document, read))));
    }
    return outcomes;
  }

  /** Reads for as long as patience is left, of which a failure takes its time. */
  async #patiently(
    read: (options: ReadOptions) => Promise<readonly DocumentRead[]>,
  ): Promise<readonly DocumentRead[]> {
    const begin = performance.now();
    const reads = await read({ patienceMs: this.#patience.forReadMs });
    if (reads.some((one) => 'error' in one)) this.#patience.spent(performance.now() - begin);
    return reads;
  }

  /** A fault that one document causes must not end the backup of the others (H39.2). */
  async #guarded(document: WantedDocument, read: DocumentRead | undefined): Promise<DocumentOutcome> {
    try {
      return await this.#document(document, read);
    } catch (error) {
      const problem = documentFault(error);
      if (problem === undefined) throw error;
      return { id: document.id, problem };
    }
  }

  /** Stores one document. Reads it again if it, or one of its attachments, could not be read. */
  async #document(document: WantedDocument, first: DocumentRead | undefined): Promise<DocumentOutcome> {
    const { id } = document;
    let { revs } = document;
    if (revs.length === 0) revs = await this.#source.leafRevisions(id);
    let read = first ?? (await this.#alone(id, revs));
    for (let attempt = 1; ; attempt += 1) {
      const missing = missingRevs(revs, read);
      if (missing.length > 0) read = await this.#byRevision(id, missing, read);
      const failed = await this.#stored(document, read);
      if (!('mayPass' in failed)) return failed;
      const { problem, mayPass } = failed;
      if (attempt === ATTEMPTS || !this.#patience.isLeft) return { id, problem };
      const again = await this.#patience.spend(async () => {
        await delay(PAUSE_MS * attempt);
        // The document may have changed since the feed was read, or may be purged.
        revs = await this.#source.leafRevisions(id);
        if (isMissing(problem) && revs.length === 0 && (await this.#source.hasMajority()))
          return { id, gone: true } as const;
        if (!mayPass && 'leaves' in read && hasSame(revs, read.leaves)) return { id, problem };
        read = await this.#source.document(id, revs, { patienceMs: this.#patience.forReadMs });
        return undefined;
      });
      if (again !== undefined) return again;
    }
  }

  /** Reads a document that has many leaves, or of which the feed did not name them. */
  async #alone(id: string, revs: readonly string[]): Promise<DocumentRead> {
    const [read] = await this.#patiently(async (options) => [await this.#source.document(id, revs, options)]);
    return read ?? { id, error: 'CouchDB returned no result' };
  }

  /** `mayPass` = another attempt may succeed although the document is the same. */
  async #stored(
    document: WantedDocument,
    read: DocumentRead,
  ): Promise<DocumentOutcome | { readonly problem: string; readonly mayPass: boolean }> {
    if ('error' in read) return { problem: read.error, mayPass: true };
    try {
      return 'isLarge' in read ? await this.#large(document) : await this.#leaves(document, read.leaves);
    } catch (error) {
      if (!(error instanceof AttachmentUnreadable)) throw error;
      return { problem: error.message, mayPass: error.mayPass };
    }
  }

  /**
   * Reads the revisions that a read without revisions did not return. PouchDB leaves out deleted ones; a node
   * of a cluster may lag behind.
   */
  async #byRevision(id: string, missing: readonly string[], read: DocumentRead): Promise<DocumentRead> {
    const others = await this.#source.revisions(id, missing, { patienceMs: this.#patience.forReadMs });
    if (!('leaves' in others) || !('leaves' in read)) return others;
    return { id, leaves: [...read.leaves, ...others.leaves] };
  }

  /** One copy of a cluster names the leaves, and may lag behind the copy of which the feed was read. */
  async #large(document: WantedDocument): Promise<DocumentOutcome> {
    const { id, known } = document;
    const now = await this.#source.leafRevisions(id);
    const earlier = new Set([...document.revs, ...(known?.leaves.map(({ rev }) => rev) ?? [])]);
    const others = [...earlier].filter((rev) => !now.includes(rev));
    const mayLack = others.length > 0 && (await this.#source.hasMajority());
    const store = (leaf: LeafText) => this.#leaf(document, leaf);
    const large = { id, revs: now, others, mayLack };
    return { id, ...(await storeLargeDocument(this.#source, large, store, this.#startPack?.())) };
  }

  async #leaves(document: WantedDocument, leaves: readonly LeafText[]): Promise<DocumentOutcome> {
    const stored: LeafToStore[] = [];
    let bytes = 0;
    for (const leaf of leaves) {
      const { one, bytes: size } = await this.#leaf(document, leaf);
      stored.push(one);
      bytes += size;
    }
    return { id: document.id, leaves: stored, bytes };
  }

  async #leaf(
    { known }: WantedDocument,
    leaf: LeafText,
  ): Promise<{ readonly one: LeafToStore; readonly bytes: number }> {
    const attachments: StoredAttachment[] = [];
    const inline = new InlineAttachments(this.#source, leaf);
    let bytes = leaf.raw.length;
    for (const stub of leaf.stubs) {
      const one = knownAttachment(known, stub) ?? (await this.#attachment(leaf, stub, inline));
      attachments.push(one);
      bytes += one.length;
    }
    const hash = contentHash(leaf, new Map(attachments.map((one) => [one.name, contentOf(one)])));
    const same = sameLeaf(known, leaf.rev, hash);
    return { one: same === undefined ? { leaf, hash, attachments } : { stored: same }, bytes };
  }

  async #attachment(
    leaf: LeafText,
    stub: AttachmentStub,
    inline: InlineAttachments,
  ): Promise<StoredAttachment> {
    const begin = performance.now();
    try {
      return await this.#attachments.read(leaf, stub, inline, this.#patience.forReadMs);
    } catch (error) {
      this.#patience.spent(performance.now() - begin);
      throw error;
    }
  }
}

function hasSame(revs: readonly string[], leaves: readonly LeafText[]): boolean {
  const read = new Set(leaves.map(({ rev }) => rev));
  return revs.length === read.size && revs.every((rev) => read.has(rev));
}

/** The outcome of a document that was read completely and has no attachments: most are, and need no wait. */
function plainOutcome(
  { id, revs, known }: WantedDocument,
  read: DocumentRead | undefined,
): DocumentOutcome | undefined {
  if (read === undefined || !('leaves' in read) || missingRevs(revs, read).length > 0) return undefined;
  const leaves: LeafToStore[] = [];
  let bytes = 0;
  for (const leaf of read.leaves) {
    if (leaf.bareHash === undefined) return undefined;
    const same = sameLeaf(known, leaf.rev, leaf.bareHash);
    leaves.push(same === undefined ? { leaf, hash: leaf.bareHash, attachments: [] } : { stored: same });
    bytes += leaf.raw.length;
  }
  return { id, leaves, bytes };
}

/** A problem in place of a document that would make the repository unreadable (H39.3). */
function storableOr(outcome: DocumentOutcome): DocumentOutcome {
  if (!('leaves' in outcome) || isStorable(outcome.id, outcome.leaves)) return outcome;
  return { id: outcome.id, problem: 'CouchDB describes it in a way that no repository can hold' };
}

/** The revisions that are neither among the leaves nor ancestors of one. */
function missingRevs(revs: readonly string[], read: DocumentRead): readonly string[] {
  if ('error' in read) return revs;
  // They are read one by one.
  if ('isLarge' in read) return [];
  return revs.filter(
    (rev) => !read.leaves.some((leaf) => leaf.rev === rev || ancestorsOf(leaf).includes(rev)),
  );
}

/** Stores attachments in the repository. */
export function storeIn(repository: Repository, pace: Pace, signal: AbortSignal | undefined): StoreContent {
  return (content) => storeAttachment(repository, paced(content, pace, signal));
}

/**
 * The attachment as an earlier snapshot has it. CouchDB's digest is an MD5, so it counts only together with
 * name, length and revision position in the same document.
 */
function knownAttachment(known: IndexEntry | undefined, stub: AttachmentStub): StoredAttachment | undefined {
  return known?.leaves
    .flatMap(({ attachments }) => attachments)
    .find(
      ({ name, digest, revpos, length }) =>
        name === stub.name && digest === stub.digest && revpos === stub.revpos && length === stub.length,
    );
}

function sameLeaf(known: IndexEntry | undefined, rev: string, hash: string): IndexedLeaf | undefined {
  return known?.leaves.find((leaf) => leaf.rev === rev && leaf.hash === hash);
}
