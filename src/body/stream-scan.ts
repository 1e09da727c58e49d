// Finds, in a JSON body that streams by, ids of documents that CouchDB keeps for itself (H10). Ending the request is its reader's business.

const NAMES = ['_local/purge-', '_local/shard-sync-'] as const;
/** A name, each of its characters escaped, with the quote before it and what stands before that. */
const LONGEST = 2 + 6 * Math.max(...NAMES.map((name) => name.length));
/** The quote that opens a text has no backslash before it. */
const INTERNAL_ID = new RegExp(`(?<!\\\\)"(?:${NAMES.map(inEverySpelling).join('|')})`);

/** As `isInternalLocal` knows them (document-id.ts), in any of JSON's spellings: `_`, `\u005f`, `\u005F`; `/` also as `\/`. */
function inEverySpelling(name: string): string {
  return Array.from(name)
    .map((character) => {
      const digits = Array.from(character.charCodeAt(0).toString(16));
      const anyCase = digits.map((digit) => `[${digit}${digit.toUpperCase()}]`).join('');
      return `(?:${character === '/' ? '\\\\?/' : character}|\\\\u00${anyCase})`;
    })
    .join('');
}

/**
 * Reads one body, piece by piece, keeping next to nothing of it. Any text that begins like such an id counts, in whatever field it
 * stands: what a field means is known only after the whole body.
 */
export class InternalIdScan {
  #rest = '';

  /** True when an id has been found that ends in this piece: it must not be passed on. */
  containsInternalId(piece: Buffer): boolean {
    const text = this.#rest + piece.toString('latin1');
    this.#rest = text.slice(-LONGEST);
    return INTERNAL_ID.test(text);
  }
}
