// Finds ids of CouchDB's internal documents in a JSON body while it is streamed (H10).
import { Forbidden } from '../http-errors.ts';

const NAMES = ['_local/purge-', '_local/shard-sync-'] as const;
/**
 * Longest match: a name with every character escaped, its opening quote, and the character before that quote.
 */
const MAX_MATCH_LENGTH = 2 + 6 * Math.max(...NAMES.map((name) => name.length));
/** A quote after a backslash does not open a string. */
const INTERNAL_ID = new RegExp(`(?<!\\\\)"(?:${NAMES.map(inEverySpelling).join('|')})`);

/**
 * The ids of `isInternalLocal` (document-id.ts), in every JSON spelling: `_`, `\u005f`, `\u005F`; `/` also as
 * `\/`.
 */
function inEverySpelling(name: string): string {
  return Array.from(name)
    .map((character) => {
      const digits = Array.from(character.charCodeAt(0).toString(16));
      const anyCase = digits.map((digit) => `[${digit}${digit.toUpperCase()}]`).join('');
      return `(?:${character === '/' ? '\\\\?/' : character}|\\\\u00${anyCase})`;
    })
    .join('');
}

/** The refusal of a body with such an id. */
export function internalIdRefused(): Forbidden {
  return new Forbidden("CouchDB's internal documents cannot be written.");
}

/** Each spelling of a name contains one of these, and most bodies contain none. */
const SUSPICIOUS = ['_local', '\\u'];

/**
 * Scans one body, chunk by chunk, and stores only the end of the last chunk. A match in any field counts: the
 * meaning of a field is known only after the whole body.
 */
export class InternalIdScan {
  #rest = '';

  /** True if such an id ends in this chunk. The chunk must not be forwarded then. */
  containsInternalId(chunk: Buffer): boolean {
    // Without a suspicious byte, only a match that began in the last chunk can end here.
    const length = SUSPICIOUS.some((text) => chunk.includes(text)) ? chunk.length : MAX_MATCH_LENGTH;
    const text = this.#rest + chunk.toString('latin1', 0, length);
    this.#rest = (this.#rest + chunk.toString('latin1', Math.max(0, chunk.length - MAX_MATCH_LENGTH))).slice(
      -MAX_MATCH_LENGTH,
    );
    return INTERNAL_ID.test(text);
  }
}
