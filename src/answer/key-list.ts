// Answers GET /_api/v2/api_keys: all keys, or a page of the keys that match.
import { type Response } from 'express';
import { type Context, known } from '../context.ts';
import { BadRequest } from '../http-errors.ts';
import { type KeyPage, type KeyStore, type KeySummary } from '../identity/api-key.ts';
import { drained, sendJson } from '../respond.ts';
import { type Answers } from './index.ts';

/** Names per read of the store. */
const PAGE = 2000;
/** More keys than this are sent page by page in the order of their names: a worker cannot sort them. */
const MAX_SORTED = 10_000;
/** Keys that one request looks through. The client continues with `next`. */
const MAX_SEARCHED = 20_000;
const DAY_MS = 86_400_000;

type Matches = (key: KeySummary, now: number) => boolean;

const isExpired: Matches = ({ expires_at: at }, now) => at !== null && Date.parse(at) <= now;

const SHOWN: Readonly<Record<string, Matches>> = {
  all: () => true,
  expired: isExpired,
  /** Within 30 days. */
  expiring: (key, now) =>
    key.expires_at !== null && !isExpired(key, now) && Date.parse(key.expires_at) < now + 30 * DAY_MS,
  /** Not for 90 days. A key that was never used counts from its creation. */
  unused: ({ last_used: used, created_at: created }, now) => Date.parse(used ?? created) < now - 90 * DAY_MS,
};

/** Creates the handler. `now` = milliseconds since 1970. */
export function keyListHandler(keys: Pick<KeyStore, 'page'>, now: () => number): Answers['api-keys-list'] {
  return async (_req, res, context) => {
    const query = queryIn(known(context.target, 'target').query, now());
    if (query === undefined) return sendAll(keys, res, context);
    const { keys: found, next } = await matching(keys, query, () => res.destroyed);
    sendJson(res, 200, { api_keys: found, next: next ?? null });
  };
}

interface KeyQuery {
  readonly limit: number;
  readonly after: string;
  /** Undefined = every key matches. */
  readonly matches: ((key: KeySummary) => boolean) | undefined;
}

/** `undefined` = no parameter of a page. Others are ignored, as before there were pages. */
function queryIn(text: string, now: number): KeyQuery | undefined {
  const query = new URLSearchParams(text);
  const [limit, after, search, show] = ['limit', 'after', 'search', 'show'].map((name) => {
    const [value, second] = query.getAll(name);
    if (second !== undefined) throw new BadRequest(`\`${name}\` is given twice`);
    return value;
  });
  if ([limit, after, search, show].every((value) => value === undefined)) return undefined;
  if (limit !== undefined && (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > PAGE))
    throw new BadRequest(`\`limit\` must be from 1 to ${PAGE}`);
  if (after !== undefined && !/^[a-z]*$/.test(after))
    throw new BadRequest('`after` must be the name of a key');
  const isShown = Object.hasOwn(SHOWN, show ?? 'all') ? SHOWN[show ?? 'all'] : undefined;
  if (isShown === undefined) throw new BadRequest(`\`show\` must be one of ${Object.keys(SHOWN).join(', ')}`);
  const wanted = (search ?? '').toLowerCase();
  const everything = wanted === '' && isShown === SHOWN['all'];
  return {
    limit: Number(limit ?? PAGE),
    after: after ?? '',
    matches: everything
      ? undefined
      : (key) =>
          isShown(key, now) &&
          (key.key.includes(wanted) || key.label?.toLowerCase().includes(wanted) === true),
  };
}

/** Looks for keys in the order of their names, through at most MAX_SEARCHED of them. */
async function matching(
  keys: Pick<KeyStore, 'page'>,
  { limit, after: first, matches }: KeyQuery,
  isGone: () => boolean,
): Promise<KeyPage> {
  if (matches === undefined) return keys.page(first, limit);
  const found: KeySummary[] = [];
  let after: string | undefined = first;
  for (let searched = 0; after !== undefined && searched < MAX_SEARCHED && !isGone(); searched += PAGE) {
    const page: KeyPage = await keys.page(after, PAGE);
    for (const key of page.keys) {
      if (!matches(key)) continue;
      found.push(key);
      if (found.length === limit) return { keys: found, next: key.key };
    }
    after = page.next;
  }
  return { keys: found, next: after };
}

/** Sends all keys, the oldest first. If there are too many to sort, the order is that of their names. */
async function sendAll(keys: Pick<KeyStore, 'page'>, res: Response, context: Context): Promise<void> {
  const first: KeySummary[] = [];
  let after: string | undefined = '';
  while (after !== undefined && first.length <= MAX_SORTED) {
    const page: KeyPage = await keys.page(after, PAGE);
    for (const key of page.keys) first.push(key);
    after = page.next;
  }
  if (after === undefined) {
    sendJson(res, 200, { api_keys: first.sort(byAge) });
    return;
  }
  res.writeHead(200, { 'Content-Type': 'application/json' });
  res.write(`{"api_keys":[${first.map((key) => JSON.stringify(key)).join(',')}`);
  try {
    while (after !== undefined && !res.destroyed) {
      const page: KeyPage = await keys.page(after, PAGE);
      const text = page.keys.map((key) => `,${JSON.stringify(key)}`).join('');
      if (text !== '' && !res.write(text)) await drained(res);
      after = page.next;
    }
  } catch (error) {
    // The client must see that the list is incomplete.
    context.outcome.cut('upstream truncated');
    throw error;
  }
  res.end(']}');
}

/** The oldest first; keys of the same time by their names. */
function byAge(a: KeySummary, b: KeySummary): number {
  return a.created_at + a.key < b.created_at + b.key ? -1 : 1;
}
