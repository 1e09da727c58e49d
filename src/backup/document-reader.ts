// Reads documents with all leaves and attachments into a repository, and names what cannot be read.
import { setTimeout as delay } from 'node:timers/promises';
import { AttachmentReader, AttachmentUnreadable, type StoreContent } from './attachment-reader.ts';
import { storeAttachment } from './attachment-store.ts';
import { type IndexedLeaf, type IndexEntry } from './index-file.ts';
import { contentOf, type StoredAttachment } from './index-shape.ts';
import { contentHash, membersOf, type AttachmentStub, type LeafText } from './leaf.ts';
import { type LeafToStore } from './leaf-writer.ts';
import { paced, type Pace } from './pace.ts';
import { type Repository } from './repository.ts';
import { isMissing, type DatabaseSource, type DocumentRead } from './source.ts';

/** A document to read, with what the repository has of it. */
export interface WantedDocument {
  readonly id: string;
  /** The leaf revisions that the feed named. Each of them, or a later one, must be read. */
  readonly revs: readonly string[];
  readonly known: IndexEntry | undefined;
}

export type DocumentOutcome =
  | { readonly id: string; readonly leaves: readonly LeafToStore[]; readonly bytes: number }
  /** It was purged. */
  | { readonly id: string; readonly gone: true }
  | { readonly id: string; readonly problem: string };

const ATTEMPTS = 4;
const PAUSE_MS = 250;
/** How long an attachment is tried again while CouchDB does not answer. */
const PATIENCE_MS = 10_000;

/** Reads documents. Attachments go to `store`. */
export class DocumentReader {
  readonly #source: DatabaseSource;
  readonly #attachments: AttachmentReader;

  constructor(source: DatabaseSource, store: StoreContent) {
    this.#source = source;
    this.#attachments = new AttachmentReader(source, store);
  }

  /** Returns one outcome for each document. Throws only if nothing at all can be read or written. */
  async read(wanted: readonly WantedDocument[]): Promise<readonly DocumentOutcome[]> {
    const reads = await this.#source.leaves(wanted.map(({ id }) => id));
    const outcomes: DocumentOutcome[] = [];
    for (const [at, document] of wanted.entries()) {
      const read = reads[at] ?? { id: document.id, error: 'CouchDB returned no result' };
      outcomes.push(plainOutcome(document, read) ?? (await this.#document(document, read)));
    }
    return outcomes;
  }

  /** Stores one document. Reads it again if it, or one of its attachments, could not be read. */
  async #document(document: WantedDocument, first: DocumentRead): Promise<DocumentOutcome> {
    const { id } = document;
    let read: DocumentRead = first;
    let problem: string;
    let { revs } = document;
    for (let attempt = 1; ; attempt += 1) {
      const missing = missingRevs(revs, read);
      if (missing.length > 0) read = await this.#byRevision(id, missing, read);
      if ('error' in read) problem = read.error;
      else
        try {
          return await this.#leaves(document, read.leaves);
        } catch (error) {
          if (!(error instanceof AttachmentUnreadable)) throw error;
          problem = error.message;
        }
      if (attempt === ATTEMPTS) break;
      await delay(PAUSE_MS * attempt);
      // The document may have changed since the feed was read, or may be purged.
      revs = await this.#source.leafRevisions(id);
      if (isMissing(problem) && revs.length === 0) return { id, gone: true };
      [read = first] = await this.#source.leaves([id]);
    }
    return { id, problem };
  }

  /**
   * Reads the revisions that a read without revisions did not return. PouchDB leaves out deleted ones; a node
   * of a cluster may lag behind.
   */
  async #byRevision(id: string, missing: readonly string[], read: DocumentRead): Promise<DocumentRead> {
    const others = await this.#source.revisions(id, missing);
    if ('error' in others || 'error' in read) return others;
    return { id, leaves: [...read.leaves, ...others.leaves] };
  }

  async #leaves({ id, known }: WantedDocument, leaves: readonly LeafText[]): Promise<DocumentOutcome> {
    const stored: LeafToStore[] = [];
    let bytes = 0;
    for (const leaf of leaves) {
      const attachments: StoredAttachment[] = [];
      for (const stub of leaf.stubs) {
        const one = knownAttachment(known, stub) ?? (await this.#attachments.read(leaf, stub, PATIENCE_MS));
        attachments.push(one);
        bytes += one.length;
      }
      const hash = contentHash(leaf, new Map(attachments.map((one) => [one.name, contentOf(one)])));
      const same = sameLeaf(known, leaf.rev, hash);
      stored.push(same === undefined ? { leaf, hash, attachments } : { stored: same });
      bytes += leaf.raw.length;
    }
    return { id, leaves: stored, bytes };
  }
}

/** The outcome of a document that was read completely and has no attachments: most are, and need no wait. */
function plainOutcome({ id, revs, known }: WantedDocument, read: DocumentRead): DocumentOutcome | undefined {
  if ('error' in read || missingRevs(revs, read).length > 0) return undefined;
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

/** The revisions that are neither among the leaves nor ancestors of one. */
function missingRevs(revs: readonly string[], read: DocumentRead): readonly string[] {
  if ('error' in read) return revs;
  return revs.filter((rev) => !read.leaves.some((leaf) => leaf.rev === rev || hasAncestor(leaf, rev)));
}

function hasAncestor(leaf: LeafText, rev: string): boolean {
  const history = membersOf(leaf).find(({ name }) => name === '_revisions');
  if (history === undefined) return false;
  const { start, ids } = JSON.parse(history.canonical) as { start: number; ids: readonly string[] };
  const dash = rev.indexOf('-');
  return ids[start - Number(rev.slice(0, dash))] === rev.slice(dash + 1);
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
