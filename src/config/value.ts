// Parses the value of one setting according to its type.
import { parseCidr } from './address-set.ts';
import { parseListenAddress } from './listen-address.ts';
import { type Setting, type SettingType } from './settings.ts';

export type SettingValue = string | number | boolean | readonly string[];
type Fault = { readonly at?: number; readonly reason: string };
export type Reading = { readonly value: SettingValue } | { readonly faults: readonly Fault[] };

/** Thrown for an invalid value; only readValue catches it. */
class InvalidValue extends Error {}

const TIMER_LIMIT_MS = 2_147_483_647;
const LARGEST: Partial<Record<SettingType, number>> = {
  milliseconds: TIMER_LIMIT_MS,
  seconds: Math.floor(TIMER_LIMIT_MS / 1000),
};

/**
 * Parses `raw`, from YAML or the environment, into the value of a setting, or returns every fault in it. The
 * text of a secret is never quoted.
 */
export function readValue(setting: Setting, raw: unknown): Reading {
  if (setting.type === 'urls') return readList(raw, readUrl);
  if (setting.type === 'cidrs') return readList(raw, readCidr);
  if (setting.type === 'origins') return readList(raw, readOrigin);
  if (setting.type === 'patterns') return readList(raw, readPattern);
  if (setting.type === 'prefixes') return readList(raw, readPrefix);
  try {
    return { value: readOne(setting, raw) };
  } catch (error) {
    return { faults: [{ reason: reasonOf(error) }] };
  }
}

function readList(raw: unknown, read: (item: unknown) => string): Reading {
  const items: unknown = typeof raw === 'string' ? raw.split(',').map((item) => item.trim()) : raw;
  if (!Array.isArray(items)) return { faults: [{ reason: 'must be a list' }] };
  const faults: Fault[] = [];
  const values = items.map((item: unknown, at) => {
    try {
      return read(item);
    } catch (error) {
      faults.push({ at, reason: reasonOf(error) });
      return '';
    }
  });
  return faults.length > 0 ? { faults } : { value: Object.freeze(values) };
}

function reasonOf(error: unknown): string {
  if (error instanceof InvalidValue || error instanceof TypeError) return error.message;
  throw error;
}

function readOne(setting: Setting, raw: unknown): SettingValue {
  switch (setting.type) {
    case 'flag':
      return readFlag(raw);
    case 'count':
    case 'milliseconds':
    case 'seconds':
    case 'bytes':
      return readNumber(setting, raw);
    case 'choice':
      return readChoice(setting.values ?? [], raw);
    case 'workers':
      return readWorkers(raw);
    case 'address':
      parseListenAddress(readText(raw));
      return readText(raw);
    case 'url':
      return raw === '' ? '' : readUrl(raw);
    default:
      return readText(raw);
  }
}

function readFlag(raw: unknown): boolean {
  if (raw === true || raw === 'true') return true;
  if (raw === false || raw === 'false') return false;
  throw new InvalidValue('must be true or false');
}

function readNumber(setting: Setting, raw: unknown): number {
  const value = typeof raw === 'string' && /^\d+$/.test(raw) ? Number(raw) : raw;
  const least = setting.min ?? 0;
  const most = setting.max ?? LARGEST[setting.type] ?? Number.MAX_SAFE_INTEGER;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw new InvalidValue(`must be a whole number (${setting.type}) from ${least} to ${most}`);
  return value;
}

function readChoice(values: readonly string[], raw: unknown): string {
  // YAML 1.2 reads a bare `off` as text; YAML 1.1 tools write it back as false, which is refused.
  if (typeof raw === 'string' && values.includes(raw)) return raw;
  throw new InvalidValue(`must be one of ${values.join(', ')}`);
}

function readWorkers(raw: unknown): string {
  const text = typeof raw === 'number' ? String(raw) : raw;
  if (typeof text === 'string' && (text === 'auto' || /^[1-9]\d{0,2}$/.test(text))) return text;
  throw new InvalidValue('must be auto or a number from 1 to 999');
}

function readText(raw: unknown): string {
  if (typeof raw !== 'string') throw new InvalidValue('must be text; put it in quotes');
  // A control character is a mistake (a stray line end) and could forge lines of logs and headers.
  if (/\p{Cc}/u.test(raw)) throw new InvalidValue('must not contain control characters');
  return raw;
}

/**
 * Parses an http(s) URL without path, query and credentials into `scheme://host[:port]`. The text is not
 * quoted in faults: it may contain a password.
 */
function readUrl(raw: unknown): string {
  const text = readText(raw);
  if (!URL.canParse(text)) throw new InvalidValue('is not a URL');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new InvalidValue('must begin with http:// or https://');
  if (url.username !== '' || url.password !== '')
    throw new InvalidValue('must not contain a user name or password');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw new InvalidValue('must not contain a path');
  return url.origin;
}

function readCidr(raw: unknown): string {
  const text = readText(raw);
  const read = parseCidr(text);
  if ('cidr' in read) return read.cidr;
  throw new InvalidValue(`${JSON.stringify(text)} ${read.reason}`);
}

function readPattern(raw: unknown): string {
  const text = readText(raw);
  if (text === '') throw new InvalidValue('is empty');
  return text;
}

/** A database name, or a prefix of at least three characters with one `*` at its end. */
function readPrefix(raw: unknown): string {
  const text = readText(raw);
  if (/^[a-z][a-z0-9_$()+/-]{2,}\*?$/.test(text)) return text;
  throw new InvalidValue(
    `${JSON.stringify(text)} is not a database name, or a prefix of three characters or more with * at its end`,
  );
}

/**
 * Parses an origin as browsers send it (RFC 6454 §6.2): scheme, host, non-default port, no trailing slash,
 * lower case. Schemes of app shells (`app://`, `capacitor://`) are allowed. `null` is refused: every
 * sandboxed page sends it, so it would allow any website. Throws for an invalid origin.
 */
export function readOrigin(raw: unknown): string {
  const text = readText(raw);
  if (text === '*') return text;
  const quoted = JSON.stringify(text);
  if (text === 'null')
    throw new InvalidValue('"null" is the origin of every sandboxed page and cannot be allowed');
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s,*]+$/.test(text))
    throw new InvalidValue(
      `${quoted} is not an origin: write scheme://host[:port] in lower case, without a path`,
    );
  if (/^https?:/.test(text) && (!URL.canParse(text) || new URL(text).origin !== text))
    throw new InvalidValue(`${quoted} is not in the form that browsers send${suggestion(text)}`);
  return text;
}

function suggestion(text: string): string {
  return URL.canParse(text) ? `; write ${new URL(text).origin}` : '';
}
