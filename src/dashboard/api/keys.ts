// Requests about API keys.
import { ApiError, call } from './http.ts';
import { pathOf } from './paths.ts';

/** Times in ISO 8601. */
export interface ApiKey {
  readonly key: string;
  readonly label: string | null;
  readonly created_by: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly last_used: string | null;
}

/** Shown once: the server keeps no password. */
export interface Secret {
  readonly key: string;
  readonly password: string;
}

const ROOT = '_api/v2/api_keys';

/** Keys that the dashboard reads as a whole; of more, it reads the first ones by name. */
export const MAX_LISTED = 10_000;
const PAGE = 2000;

export interface KeyList {
  readonly keys: readonly ApiKey[];
  /** False if there are more. */
  readonly isComplete: boolean;
}

interface KeyPage {
  readonly api_keys: readonly ApiKey[];
  /** Where the next page starts. */
  readonly next: string | null;
}

/** The keys that are not revoked, at most MAX_LISTED. */
export function listKeys(signal: AbortSignal): Promise<KeyList> {
  return readPages(MAX_LISTED, PAGE, {}, signal);
}

/** The first `limit` keys by name. */
export async function listFirstKeys(limit: number, signal: AbortSignal): Promise<readonly ApiKey[]> {
  return (await readPage({ limit: String(limit), after: '' }, signal)).api_keys;
}

/** The keys with `search` in their name or label, of the kind `show` (key-filter.ts), at most `most`. */
export function findKeys(
  most: number,
  conditions: { readonly search: string; readonly show: string },
  signal: AbortSignal,
): Promise<KeyList> {
  return readPages(most, most, conditions, signal);
}

/** The server looks through a part of the keys at a time, so there may be many pages without a key. */
async function readPages(
  most: number,
  limit: number,
  conditions: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<KeyList> {
  const keys: ApiKey[] = [];
  for (let after: string | null = ''; after !== null;) {
    if (keys.length >= most) return { keys, isComplete: false };
    const page: KeyPage = await readPage({ limit: String(limit), after, ...conditions }, signal);
    keys.push(...page.api_keys);
    after = page.next;
  }
  return { keys, isComplete: true };
}

async function readPage(parameters: Readonly<Record<string, string>>, signal: AbortSignal): Promise<KeyPage> {
  const query = new URLSearchParams(parameters);
  return (await call<KeyPage>({ path: `${ROOT}?${query.toString()}`, signal })).body;
}

/** `null` = no such key, or a revoked one. */
export async function readKey(name: string, signal: AbortSignal): Promise<ApiKey | null> {
  try {
    return (await call<ApiKey>({ path: `${ROOT}/${pathOf(name)}`, signal })).body;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** Creates a key; `grants` = roles by database. The answer arrives only if every grant is in force. */
export async function createKey(fields: {
  readonly label: string | null;
  readonly expires_at: string | null;
  readonly grants?: Readonly<Record<string, readonly string[]>>;
}): Promise<Secret> {
  const { key, password } = (await call<Secret>({ method: 'POST', path: ROOT, body: fields })).body;
  return { key, password };
}

/** Changes label or expiry; null removes it. */
export async function changeKey(
  key: string,
  fields: { readonly label?: string | null; readonly expires_at?: string | null },
): Promise<void> {
  await call({ method: 'PATCH', path: `${ROOT}/${pathOf(key)}`, body: fields });
}

/** Adds a password; the old ones stay valid for `overlapSeconds`. */
export async function rotateKey(
  key: string,
  overlapSeconds: number,
): Promise<Secret & { readonly oldValidUntil: string }> {
  const { body } = await call<Secret & { readonly old_password_valid_until: string }>({
    method: 'POST',
    path: `${ROOT}/${pathOf(key)}/rotate`,
    body: { overlap_seconds: overlapSeconds },
  });
  return { key, password: body.password, oldValidUntil: body.old_password_valid_until };
}

/**
 * Ends a key for good. Resolves with the databases on which a row with its name is left; empty if the server
 * does not say. `removesGrants` removes these rows; it may be sent again for a revoked key.
 */
export async function revokeKey(key: string, { removesGrants = false } = {}): Promise<readonly string[]> {
  const query = removesGrants ? '?remove_grants=true' : '';
  const { body } = await call<{ readonly granted_on?: readonly string[] | null }>({
    method: 'DELETE',
    path: `${ROOT}/${pathOf(key)}${query}`,
  });
  return body.granted_on ?? [];
}
