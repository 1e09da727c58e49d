// Splits a permissions file into its databases, so that a large file is never parsed as a whole: the tree of
// a file of 10 MB takes some 800 MB.
import { Lexer } from 'yaml';

/** A part of the file that is YAML by itself. */
export interface FilePart {
  /** `database` = one entry of `databases`; `top` = what is between the entries. */
  readonly kind: 'top' | 'database';
  readonly text: string;
  /** Number of lines before the part. */
  readonly linesBefore: number;
}

/** Tokens of the lexer that stand for no characters of the file. */
const SCALAR = '\u001f';
const MARKS = new Set(['\u0002', '\u0018', SCALAR]);

/** Yields the parts in order; together they are the whole text. Tokens decide, so texts are never split. */
export function* partsOf(text: string): Generator<FilePart> {
  const cuts = new Cuts();
  let begin = 0;
  let linesBefore = 0;
  let kind: FilePart['kind'] = 'top';
  let at = 0;
  for (const token of new Lexer().lex(text)) {
    const isMark = MARKS.has(token);
    const next = cuts.take(token, isMark, at);
    if (next !== undefined && next.at > begin) {
      const part = text.slice(begin, next.at);
      yield { kind, text: part, linesBefore };
      linesBefore += linesIn(part);
      begin = next.at;
    }
    if (next !== undefined) kind = next.kind;
    if (!isMark) at += token.length;
  }
  yield { kind, text: text.slice(begin), linesBefore };
}

function linesIn(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}

/** Finds the lines with which a part begins, from the tokens. */
class Cuts {
  #flowDepth = 0;
  #lineStart = 0;
  #indent = 0;
  #isAtStart = true;
  #hasBlockHeader = false;
  #isBlockNext = false;
  #isInDatabases = false;
  /** Indentation of the names of databases. */
  #entryIndent: number | undefined;

  /** Takes one token; returns where a part begins, if its line does. */
  take(token: string, isMark: boolean, at: number): { at: number; kind: FilePart['kind'] } | undefined {
    if (isMark) {
      // The next scalar after the header of a block scalar is its text.
      if (token === SCALAR) [this.#isBlockNext, this.#hasBlockHeader] = [this.#hasBlockHeader, false];
      return undefined;
    }
    if (this.#isBlockNext) {
      // The whole text, with the line break at its end.
      this.#isBlockNext = false;
      this.#isAtStart = true;
      this.#lineStart = at + token.length;
      this.#indent = 0;
      return undefined;
    }
    if (token === '\n' || token === '\r\n') {
      this.#isAtStart = this.#flowDepth === 0;
      this.#lineStart = at + token.length;
      this.#indent = 0;
      return undefined;
    }
    if (this.#isAtStart && token.trim() === '') {
      this.#indent += token.length;
      return undefined;
    }
    if (token.startsWith('#')) return undefined;
    // Only the header of a block scalar begins with one of these.
    if (token.startsWith('|') || token.startsWith('>')) this.#hasBlockHeader = true;
    const isFirst = this.#isAtStart;
    this.#isAtStart = false;
    if (token === '{' || token === '[') this.#flowDepth += 1;
    else if (token === '}' || token === ']') this.#flowDepth = Math.max(0, this.#flowDepth - 1);
    return isFirst ? this.#cutAt(token) : undefined;
  }

  #cutAt(token: string): { at: number; kind: FilePart['kind'] } | undefined {
    if (this.#indent === 0) {
      const wasInDatabases = this.#isInDatabases;
      this.#isInDatabases = token === 'databases' || token === '"databases"' || token === "'databases'";
      return wasInDatabases ? { at: this.#lineStart, kind: 'top' } : undefined;
    }
    if (!this.#isInDatabases) return undefined;
    this.#entryIndent ??= this.#indent;
    return this.#indent <= this.#entryIndent ? { at: this.#lineStart, kind: 'database' } : undefined;
  }
}
