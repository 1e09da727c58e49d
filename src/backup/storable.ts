// Checks documents with the readers of a repository before they are stored: what CouchDB sends of a document
// is in part as a client wrote it (H39.3).
import { leafLine } from './index-file.ts';
import { isEntry } from './index-shape.ts';
import { type LeafToStore } from './leaf-writer.ts';
import { checkedLine, packLine } from './pack.ts';

/** Where a leaf will be is always in order. */
const ANYWHERE = { pack: '', offset: 0, length: 0, line: 0 };

/**
 * True if the index and the packs that hold these leaves can be read again. If not, every later run would
 * fail at the index, and its reason would be taken for a damaged disk.
 */
export function isStorable(id: string, leaves: readonly LeafToStore[]): boolean {
  return leaves.every((one) => {
    // It was read from the repository.
    if ('stored' in one) return true;
    const { leaf, hash, attachments } = one;
    const { rev, deleted } = leaf;
    const line = leafLine({ rev, deleted, hash, attachments, place: ANYWHERE }, 0);
    return isEntry([id, [line]], 1) && (attachments.length === 0 || isReadable(one));
  });
}

/** A leaf without attachments is stored as the text that was read; with them, parts are added to it. */
function isReadable({ leaf, hash, attachments }: Exclude<LeafToStore, { stored: unknown }>): boolean {
  try {
    checkedLine(packLine(leaf, hash, attachments), hash, '');
    return true;
  } catch {
    return false;
  }
}
