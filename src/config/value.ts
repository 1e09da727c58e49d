// Reads one value by the type of its setting. Where it came from, and what it must agree with, is not decided here.
import { parseCidr } from './address-set.ts';
import { parseListenAddress } from './listen-address.ts';
import { type Setting, type SettingType } from './settings.ts';

export type SettingValue = string | number | boolean | readonly string[];
type Fault = { readonly at?: number; readonly reason: string };
export type Reading = { readonly value: SettingValue } | { readonly faults: readonly Fault[] };

/** A fault in one value; `at` is the place in a list. Caught by readValue alone. */
class Unreadable extends Error {}

const TIMER_LIMIT_MS = 2_147_483_647;
const LARGEST: Partial<Record<SettingType, number>> = {
  milliseconds: TIMER_LIMIT_MS,
  seconds: Math.floor(TIMER_LIMIT_MS / 1000),
};

/** Reads `raw`, as YAML or the environment gave it, into the value of a setting; says all that is wrong with it. A secret is never quoted. */
export function readValue(setting: Setting, raw: unknown): Reading {
  if (setting.type === 'urls') return readList(raw, readUrl);
  if (setting.type === 'cidrs') return readList(raw, readCidr);
  if (setting.type === 'origins') return readList(raw, readOrigin);
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
  if (error instanceof Unreadable || error instanceof TypeError) return error.message;
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
  throw new Unreadable('must be true or false');
}

function readNumber(setting: Setting, raw: unknown): number {
  const value = typeof raw === 'string' && /^\d+$/.test(raw) ? Number(raw) : raw;
  const least = setting.min ?? 0;
  const most = setting.max ?? LARGEST[setting.type] ?? Number.MAX_SAFE_INTEGER;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw new Unreadable(`must be a whole number (${setting.type}) from ${least} to ${most}`);
  return value;
}

function readChoice(values: readonly string[], raw: unknown): string {
  // YAML reads a bare `off` as text, but older tools write it back as false.
  if (typeof raw === 'string' && values.includes(raw)) return raw;
  throw new Unreadable(`must be one of ${values.join(', ')}`);
}

function readWorkers(raw: unknown): string {
  const text = typeof raw === 'number' ? String(raw) : raw;
  if (typeof text === 'string' && (text === 'auto' || /^[1-9]\d{0,2}$/.test(text))) return text;
  throw new Unreadable('must be auto or a number from 1 to 999');
}

function readText(raw: unknown): string {
  if (typeof raw !== 'string') throw new Unreadable('must be text; put it in quotes');
  // A control character in a value is a slip (a stray line end), and would forge lines of logs and headers.
  if (/\p{Cc}/u.test(raw)) throw new Unreadable('must not hold control characters');
  return raw;
}

/** An http(s) address without path, query or credentials, as `scheme://host[:port]`. The text is not quoted: it might hold a password. */
function readUrl(raw: unknown): string {
  const text = readText(raw);
  if (!URL.canParse(text)) throw new Unreadable('is not a URL');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Unreadable('must begin with http:// or https://');
  if (url.username !== '' || url.password !== '') throw new Unreadable('must not hold a name or a password');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw new Unreadable('must be an address without a path');
  return url.origin;
}

function readCidr(raw: unknown): string {
  const text = readText(raw);
  const read = parseCidr(text);
  if ('cidr' in read) return read.cidr;
  throw new Unreadable(`${JSON.stringify(text)} ${read.reason}`);
}

/**
 * An origin as browsers write it (RFC 6454 §6.2): scheme, host, port when not the scheme's own, no slash behind; lower case. Schemes of app
 * shells (`app://`, `capacitor://`) are allowed. `null` is what every sandboxed page sends, so to allow it would be to allow anybody.
 */
export function readOrigin(raw: unknown): string {
  const text = readText(raw);
  if (text === '*') return text;
  const quoted = JSON.stringify(text);
  if (text === 'null')
    throw new Unreadable('"null" is the origin of every sandboxed page and cannot be allowed');
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s,*]+$/.test(text))
    throw new Unreadable(`${quoted} is not an origin: scheme://host[:port] in lower case, nothing behind it`);
  if (/^https?:/.test(text) && (!URL.canParse(text) || new URL(text).origin !== text))
    throw new Unreadable(`${quoted} is not how a browser writes it${suggestion(text)}`);
  return text;
}

function suggestion(text: string): string {
  return URL.canParse(text) ? `; write ${new URL(text).origin}` : '';
}
