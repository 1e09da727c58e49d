// Reads the list of API keys page by page: there may be a million of them.
import { type Admin } from '../setup/admin.ts';
import { accepted } from './owner-client.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Yields all keys that are not revoked, in parts. Throws `RefusedByCouchgate`. */
export async function* keyPages(couchgate: Admin): AsyncGenerator<readonly Fields[]> {
  for (let after: unknown = ''; typeof after === 'string';) {
    const path = `/_api/v2/api_keys?limit=2000&after=${encodeURIComponent(after)}`;
    const { api_keys: keys, next } = accepted(await couchgate.ask('GET', path), 'listing the keys');
    yield Array.isArray(keys) ? (keys as Fields[]) : [];
    after = next;
  }
}
