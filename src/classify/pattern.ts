// Parses the path patterns of the catalogue into tokens.
//
// - `{name}` matches one segment, and `{name*}` one or more segments to the end.
// - `_{name}` and `_{name*}` match the same, if the first segment begins with an underscore.
// - `[…]` is optional; `(a|b)` matches one of the alternatives. Both may be nested.
// - `{db}`, `{doc_id}` and `{att}` do not match a leading underscore: CouchDB reserves those names.

/**
 * One segment of a pattern: `literal` = this text; `one` = one segment; `rest` = one or more segments to the
 * end. `first` limits the first character: `plain` = no underscore, `underscored` = an underscore.
 */
export type Token =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one' | 'rest'; readonly first: 'any' | 'plain' | 'underscored' };

const PLAIN_NAMES = new Set(['db', 'doc_id', 'att']);

/**
 * Expands a pattern into all its spellings, as tokens. Used at start only. Throws if a bracket is not closed.
 */
export function tokensOf(pattern: string): readonly (readonly Token[])[] {
  return expand(pattern).map((path) =>
    path
      .split('/')
      .filter((segment) => segment !== '')
      .map(tokenOf),
  );
}

function tokenOf(segment: string): Token {
  const open = segment.indexOf('{');
  if (open === -1) return { kind: 'literal', text: segment };
  const rest = segment.endsWith('*}');
  const name = segment.slice(open + 1, rest ? -2 : -1);
  const first = open === 1 ? 'underscored' : PLAIN_NAMES.has(name) ? 'plain' : 'any';
  return { kind: rest ? 'rest' : 'one', first };
}

/** Expands the first bracket, then the brackets of each result. */
function expand(pattern: string): readonly string[] {
  const open = firstOf(pattern, '([');
  if (open === -1) return [pattern];
  const close = closing(pattern, open);
  const head = pattern.slice(0, open);
  const tail = pattern.slice(close + 1);
  const inner = alternatives(pattern.slice(open + 1, close));
  const spellings = pattern[open] === '[' ? ['', ...inner] : inner;
  return spellings.flatMap((spelling) => expand(head + spelling + tail));
}

function firstOf(text: string, characters: string): number {
  for (let i = 0; i < text.length; i++) if (characters.includes(text.charAt(i))) return i;
  return -1;
}

function closing(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if ('(['.includes(text.charAt(i))) depth++;
    if (')]'.includes(text.charAt(i)) && --depth === 0) return i;
  }
  throw new Error(`pattern ${text} has an unclosed bracket`);
}

function alternatives(text: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if ('(['.includes(text.charAt(i))) depth++;
    if (')]'.includes(text.charAt(i))) depth--;
    if (text[i] === '|' && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...parts, text.slice(start)];
}
