// Finds what the names of a list stand for. For the owner only: it tells which names exist (H23).
import { type Couch } from '../couch/couch.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { usersAmong } from '../identity/couch-accounts.ts';
import { type AccountKind } from '../identity/named-account.ts';

export interface AccountKindsDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'named'>;
}

export interface AccountFields {
  readonly kind: AccountKind;
  readonly label?: string | null;
  readonly expires_at?: string | null;
  readonly last_used?: string | null;
}

/** Looks all names up in a few requests. Throws `Unavailable`. */
export async function kindsOf(
  { couch, keys }: AccountKindsDeps,
  names: readonly string[],
  owners: readonly string[],
): Promise<ReadonlyMap<string, AccountFields>> {
  const found = new Map<string, AccountFields>();
  const others: string[] = [];
  const unique = new Set(names);
  const named = await keys.named([...unique]);
  for (const name of unique) {
    const key = named.get(name);
    if (name === 'nobody') found.set(name, { kind: 'nobody' });
    else if (key === 'revoked') found.set(name, { kind: 'revoked key' });
    else if (key !== undefined) {
      const { label, expires_at, last_used } = key;
      found.set(name, { kind: 'key', label, expires_at, last_used });
    } else if (owners.includes(name)) found.set(name, { kind: 'owner' });
    else others.push(name);
  }
  const users = await usersAmong(couch, others);
  for (const name of others) found.set(name, { kind: users?.has(name) === true ? 'user' : 'unknown' });
  return found;
}
