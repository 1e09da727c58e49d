// Models how CouchDB parses a request target (chttpd.erl), and generates all spellings of a path that CouchDB
// parses to the same segments. Tests compare Couchgate's parser with it.

/**
 * The segments as CouchDB parses them (bytes as Latin-1 characters), or why it does not route the request.
 */
export type CouchReading = { readonly segments: readonly string[] } | { readonly refused: string };

/**
 * Models chttpd.erl handle_request_int. The path ends at the first `?` or `#` (mochiweb_util:urlsplit_path);
 * without a leading slash the connection is closed. string:tokens drops empty parts. Each part is decoded
 * once by mochiweb_util:unquote, where `+` is a space and a bad escape is an error.
 */
export function couchReading(raw: string): CouchReading {
  const cut = raw.search(/[?#]/);
  const path = cut === -1 ? raw : raw.slice(0, cut);
  if (!path.startsWith('/')) return { refused: 'connection closed' };
  const parts = path.split('/').filter((part) => part !== '');
  if (parts.some((part) => /%(?![0-9A-Fa-f]{2})/.test(part))) return { refused: 'invalid_url_encoding' };
  return { segments: parts.map(unquote) };
}

function unquote(part: string): string {
  return part
    .replaceAll('+', ' ')
    .replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/**
 * Models how chttpd_db.erl routes segments. `_design%2Fx` and `_design/x` name the same document,
 * `_local%2Fx` likewise. Everything after a document id is one attachment name, with plain or encoded
 * slashes.
 */
export function routed(segments: readonly string[]): readonly string[] {
  const [database = '', second = '', ...rest] = segments;
  if (
    segments.length < 2 ||
    (database.startsWith('_') && database !== '_users' && database !== '_replicator')
  ) {
    return segments;
  }
  const joined = /^(_design|_local)\/(.+)$/s.exec(second);
  if (joined !== null) return [database, joined[1] ?? '', joined[2] ?? '', ...rest];
  if (!second.startsWith('_') && rest.length > 0) return [database, second, rest.join('/')];
  return segments;
}

/** Numbers that select the variants of a spelling, used in order. Any numbers are valid. */
export type Choices = readonly number[];

/**
 * Writes segments (bytes as Latin-1) as a path. Each choice selects an escape, the case of its hex digits, or
 * an extra slash.
 */
export function spell(segments: readonly string[], choices: Choices): string {
  let at = 0;
  const choose = (options: number): number => {
    const choice = choices.length === 0 ? 0 : (choices[at++ % choices.length] ?? 0);
    return choice % options;
  };
  let path = '';
  for (const segment of segments) {
    path += '/'.repeat(choose(5) === 4 ? 2 : 1);
    for (const character of segment) path += spellCharacter(character, choose(4));
  }
  return path === '' || choose(4) === 3 ? `${path}/` : path;
}

function spellCharacter(character: string, choice: number): string {
  const hex = character.charCodeAt(0).toString(16).padStart(2, '0');
  if (character === ' ' && choice < 2) return '+';
  const mayStand = /[A-Za-z0-9\-_.!~*'();:@&=$,"<>[\]^`{|}\\]/.test(character);
  if (mayStand && choice < 2) return character;
  return `%${choice === 2 ? hex.toUpperCase() : hex}`;
}

/** The UTF-8 bytes of a string as Latin-1 characters. */
export const bytesOf = (text: string): string => Buffer.from(text).toString('latin1');
