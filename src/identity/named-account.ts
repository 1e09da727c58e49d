// Finds out whose name a text is: an API key's, a user's, a server admin's, or nobody's. For the owner only:
// the answers tell which names exist (H23).
import { type Couch } from '../couch/couch.ts';
import { NOBODY, type Principal } from '../principal/principal.ts';
import { type KeyStore, type KeySummary } from './api-key.ts';
import {
  fitsRequestLine,
  isPathSegment,
  ownerOf,
  readAdmin,
  readUserDocument,
  userIn,
} from './couch-accounts.ts';

/** What a name stands for. `unknown` = nobody has it. */
export type AccountKind = 'key' | 'revoked key' | 'user' | 'owner' | 'nobody' | 'unknown';

export interface NamedAccount {
  readonly kind: AccountKind;
  /** The principal of a request with valid credentials; undefined if no credentials of the name are valid. */
  readonly principal: Principal | undefined;
  /** For a key. */
  readonly key?: KeySummary;
}

export interface NamedAccountDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'describe' | 'isKeyName'>;
  readonly now?: () => number;
}

/**
 * Looks the name up in the order of authentication: a key, then a server admin, then a user. Throws
 * `Unavailable`.
 */
export async function accountNamed(
  { couch, keys, now = Date.now }: NamedAccountDeps,
  name: string,
): Promise<NamedAccount> {
  if (name === 'nobody') return { kind: 'nobody', principal: NOBODY };
  const key = await keys.describe(name);
  if (key !== undefined) {
    const isExpired = key.expires_at !== null && Date.parse(key.expires_at) <= now();
    return { kind: 'key', key, principal: isExpired ? undefined : { kind: 'key', name } };
  }
  if (await keys.isKeyName(name)) return { kind: 'revoked key', principal: undefined };
  if (!isAskable(name)) return { kind: 'unknown', principal: undefined };
  if ((await readAdmin(couch, '_local', name)) !== undefined)
    return { kind: 'owner', principal: ownerOf(name) };
  const document = await readUserDocument(couch, name);
  if (document === undefined) return { kind: 'unknown', principal: undefined };
  return { kind: 'user', principal: userIn(document, name) };
}

/** False for a name that no user and no server admin of CouchDB can have. */
function isAskable(name: string): boolean {
  // A lone surrogate has no encoding.
  return isPathSegment(name) && Buffer.from(name).toString() === name && fitsRequestLine(name);
}
