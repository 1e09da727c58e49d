// Writes documents of `_users` for their users. A cluster has no compare-and-swap: two writers of one
// document can both succeed. So the write counts only if no other leaf stands beside it.
import { type Couch } from '../couch/couch.ts';
import { HttpError, Unavailable } from '../http-errors.ts';
import { userPath, type UserDocument } from './couch-accounts.ts';

/** CouchDB hashes the password before it answers; on a busy core that takes long. */
const TIMEOUT_MS = 30_000;
const UNKNOWN = 'The change may or may not stand: CouchDB did not confirm it.';

/** `conflict` = the document has changed, or somebody else writes it at this moment. Nothing stands then. */
export type UserWrite =
  { readonly outcome: 'written'; readonly rev: string } | { readonly outcome: 'conflict' };

/** The live leaves of a user's document; none = there is no such user. Throws `Unavailable`. */
export async function userLeaves(
  couch: Pick<Couch, 'ask'>,
  name: string,
): Promise<readonly (UserDocument & { readonly _rev: string })[]> {
  const { status, body } = await couch.ask({ method: 'GET', path: `${userPath(name)}?open_revs=all` });
  if (status === 404) return [];
  if (status !== 200 || !Array.isArray(body))
    throw new Unavailable('The user cannot be read at present.', { detail: `_users answered ${status}` });
  return (body as readonly { readonly ok?: UserDocument & { readonly _rev: string } }[]).flatMap(({ ok }) =>
    ok === undefined || ok['_deleted'] === true ? [] : [ok],
  );
}

/**
 * Writes the document of a user; CouchDB hashes a `password` in it. `before` = the revisions of the leaves
 * that were there. Throws CouchDB's 400 and 403 (its own rules for passwords and documents) and
 * `Unavailable`.
 */
export async function writeUser(
  couch: Pick<Couch, 'ask'>,
  name: string,
  document: UserDocument,
  before: readonly string[],
): Promise<UserWrite> {
  const path = userPath(name);
  const { status, body } = await couch.ask({ method: 'PUT', path, body: document, timeoutMs: TIMEOUT_MS });
  const { rev, error, reason } = (body ?? {}) as Readonly<Record<string, unknown>>;
  if (status === 409) return { outcome: 'conflict' };
  if (status === 400 || (status === 403 && error === 'forbidden'))
    throw new HttpError(status, String(error), String(reason));
  if ((status !== 201 && status !== 202) || typeof rev !== 'string')
    throw new Unavailable(UNKNOWN, { detail: `_users answered ${status}` });
  try {
    if (status === 202)
      throw new Unavailable(UNKNOWN, { detail: 'fewer nodes than the quorum have the user' });
    const leaves = await userLeaves(couch, name);
    const isAlone = leaves.every(({ _rev }) => _rev === rev || before.includes(_rev));
    if (isAlone && leaves.some(({ _rev }) => _rev === rev)) return { outcome: 'written', rev };
  } catch (thrown) {
    await withdrawUser(couch, name, rev);
    throw thrown;
  }
  await withdrawUser(couch, name, rev);
  return { outcome: 'conflict' };
}

/**
 * Deletes one leaf of a user's document. A leaf that is none any more stays as it is. Throws `Unavailable`.
 */
export async function withdrawUser(couch: Pick<Couch, 'ask'>, name: string, rev: string): Promise<void> {
  const path = `${userPath(name)}?rev=${encodeURIComponent(rev)}`;
  const { status } = await couch.ask({ method: 'DELETE', path, timeoutMs: TIMEOUT_MS });
  // 404 and 409 = somebody else has changed it meanwhile.
  if (status !== 200 && status !== 202 && status !== 404 && status !== 409)
    throw new Unavailable(UNKNOWN, { detail: `_users answered ${status}` });
}
