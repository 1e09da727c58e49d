// Writes API keys directly into the store database: 100,000 keys through the API would take minutes.
import { writeKey } from '../src/identity/key-document.ts';
import { digestPassword, makeKeyName, makePassword } from '../src/identity/secret.ts';
import { type Backend } from '../test/support/backend.ts';
import { ask, type Credentials } from './couchgate.ts';

const BATCH = 5000;
/** Batches that CouchDB gets at once. */
const AT_ONCE = 4;

/**
 * Adds `count` keys to the store database and creates a missing one.
 */
export async function addKeys(
  backend: Backend,
  store: string,
  count: number,
): Promise<readonly Credentials[]> {
  const url = backend.urls[0] ?? '';
  await ask(url, backend.owner, 'PUT', `/${store}`).catch(() => undefined);
  const keys = Array.from({ length: count }, () => ({ name: makeKeyName(), password: makePassword() }));
  const add = async (at: number): Promise<void> => {
    const docs = keys.slice(at, at + BATCH).map(({ name, password }) =>
      writeKey({
        name,
        rev: '',
        digests: [digestPassword(password)],
        rotations: 0,
        until: Infinity,
        label: null,
        createdBy: 'bench',
        createdAt: '2023-01-01T00:00:00.000Z',
      }),
    );
    await ask(url, backend.owner, 'POST', `/${store}/_bulk_docs`, { docs });
  };
  for (let at = 0; at < count; at += AT_ONCE * BATCH)
    await Promise.all(
      Array.from({ length: AT_ONCE }, (_, n) => at + n * BATCH)
        .filter((start) => start < count)
        .map(add),
    );
  return keys;
}
