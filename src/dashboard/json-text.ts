// Reads and writes JSON as text: parsing would round numbers that JavaScript cannot represent.

/** A member of an object: its name, and its value as it is written. */
export interface Member {
  readonly name: string;
  readonly value: string;
}

const STEP = '  ';

/** Breaks valid JSON into lines. Strings and numbers stay as they are written. */
export function formatted(json: string): string {
  let out = '';
  let depth = 0;
  const line = (): string => `\n${STEP.repeat(depth)}`;
  for (let at = 0; at < json.length; at += 1) {
    const sign = json[at] ?? '';
    switch (sign) {
      case '"': {
        const end = endOfString(json, at);
        out += json.slice(at, end);
        at = end - 1;
        break;
      }
      case '{':
      case '[': {
        const next = nextSign(json, at + 1);
        if (json[next] === '}' || json[next] === ']') {
          out += sign + (json[next] ?? '');
          at = next;
          break;
        }
        depth += 1;
        out += sign + line();
        break;
      }
      case '}':
      case ']':
        depth -= 1;
        out += line() + sign;
        break;
      case ',':
        out += sign + line();
        break;
      case ':':
        out += ': ';
        break;
      default:
        if (!isSpace(sign)) out += sign;
    }
  }
  return out;
}

/** The members of a valid JSON object, in their order. */
export function membersOf(json: string): readonly Member[] {
  const members: Member[] = [];
  let at = nextSign(json, nextSign(json, 0) + 1);
  while (json[at] === '"') {
    const endOfName = endOfString(json, at);
    const name = JSON.parse(json.slice(at, endOfName)) as string;
    const start = nextSign(json, nextSign(json, endOfName) + 1);
    const end = endOfValue(json, start);
    members.push({ name, value: json.slice(start, end).trimEnd() });
    const after = nextSign(json, end);
    if (json[after] !== ',') break;
    at = nextSign(json, after + 1);
  }
  return members;
}

/** Writes an object of these members, in lines. */
export function objectOf(members: readonly Member[]): string {
  return formatted(`{${members.map(({ name, value }) => `${JSON.stringify(name)}:${value}`).join(',')}}`);
}

/** Why the text is not a JSON object; undefined = it is one. */
export function problemIn(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? undefined
      : 'A document is an object: it begins with { and ends with }.';
  } catch (error) {
    return error instanceof Error ? error.message : 'This is not JSON.';
  }
}

const isSpace = (sign: string | undefined): boolean =>
  sign === ' ' || sign === '\n' || sign === '\r' || sign === '\t';

function nextSign(json: string, from: number): number {
  let at = from;
  while (isSpace(json[at])) at += 1;
  return at;
}

/** The place after the closing quote of the string that begins at `from`. */
function endOfString(json: string, from: number): number {
  let at = from + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** The place after the value that begins at `from`: a comma or a closing sign of its object. */
function endOfValue(json: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < json.length) {
    const sign = json[at];
    if (sign === '"') {
      at = endOfString(json, at);
      continue;
    }
    if (sign === '{' || sign === '[') depth += 1;
    if (depth === 0 && (sign === ',' || sign === '}')) return at;
    if (sign === '}' || sign === ']') depth -= 1;
    at += 1;
  }
  return at;
}
