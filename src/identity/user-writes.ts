// Writes documents of `_users` for their users. A cluster has no compare-and-swap: two writers of one
// document can both succeed. So the leaves are read again after a write, and of two, CouchDB's choice stays.
import { randomUUID } from 'node:crypto';
import { type Couch, type CouchAnswer } from '../couch/couch.ts';
import { branchOf, compareRevisions } from '../couch/revision.ts';
import { userPath } from '../couch/user-id.ts';
import { HttpError, Unavailable, UnknownOutcome } from '../http-errors.ts';
import { type UserDocument } from './couch-accounts.ts';

/** CouchDB hashes the password before it answers; on a busy core that takes long. */
const TIMEOUT_MS = 30_000;
const UNCONFIRMED = 'The change may or may not stand: CouchDB did not confirm it.';
/** Rounds of deletions. A new user cannot write its document faster than that for long. */
const MAX_ROUNDS = 50;

/** `conflict` = the document has changed, or somebody else writes it at this moment. Nothing stands then. */
export type UserWrite =
  { readonly outcome: 'written'; readonly rev: string } | { readonly outcome: 'conflict' };

/** A live leaf of a user's document. */
export type UserLeaf = UserDocument & { readonly _rev: string };

/** The live leaves of a user's document; none = there is no such user. Throws `Unavailable`. */
export async function userLeaves(couch: Pick<Couch, 'ask'>, name: string): Promise<readonly UserLeaf[]> {
  const path = `${userPath(name)}?open_revs=all`;
  return leavesIn(await couch.ask({ method: 'GET', path }));
}

function leavesIn({ status, body }: CouchAnswer): readonly UserLeaf[] {
  if (status === 404) return [];
  if (status !== 200 || !Array.isArray(body))
    throw new Unavailable('The user cannot be read at present.', { detail: `_users answered ${status}` });
  return (body as readonly { readonly ok?: UserLeaf }[]).flatMap(({ ok }) =>
    ok === undefined || ok['_deleted'] === true ? [] : [ok],
  );
}

/**
 * Changes the document of a user; CouchDB hashes a `password` in it. The account must never be lost, so the
 * write is taken back in one case only: CouchDB prefers a live leaf beside it. Of two writers, one stays.
 * Throws CouchDB's 400 and 403 (its own rules for passwords and documents) and `Unavailable`.
 */
export async function updateUser(
  couch: Pick<Couch, 'ask'>,
  name: string,
  document: UserDocument,
): Promise<UserWrite> {
  const put = await putUser(couch, name, document);
  if (put === undefined) return { outcome: 'conflict' };
  const { rev } = put;
  if (!put.hasQuorum) throw tooFewCopies();
  const leaves = await userLeaves(couch, name);
  if (!leaves.some(({ _rev }) => _rev === rev))
    throw new UnknownOutcome(UNCONFIRMED, { detail: 'the new revision is no leaf' });
  if (leaves.every(({ _rev }) => compareRevisions(_rev, rev) <= 0)) return { outcome: 'written', rev };
  await deleteLeaf(couch, name, rev);
  return { outcome: 'conflict' };
}

/**
 * Makes a user in two writes. The first one has no password, so nobody can sign in as it, however late it is
 * applied. When it stands, `mayStay` is called; only then does CouchDB get the password. So a user with a
 * password has passed, even if CouchDB does not confirm the second write. Every other end takes both back.
 * Throws as `updateUser`, and what `mayStay` throws.
 */
export async function createUser(
  couch: Pick<Couch, 'ask'>,
  name: string,
  document: UserDocument,
  mayStay: () => Promise<boolean>,
): Promise<UserWrite> {
  const reserved = await reserveUser(couch, name, document);
  if (reserved.outcome === 'conflict') return reserved;
  let isReserved = true;
  try {
    if (!(await mayStay())) return { outcome: 'conflict' };
    const written = await updateUser(couch, name, { ...document, _rev: reserved.rev });
    isReserved = false;
    // Somebody else has changed the document or has one beside it: theirs stays.
    if (written.outcome === 'conflict') await deleteLeaf(couch, name, reserved.rev);
    return written;
  } finally {
    if (isReserved) await withdrawUser(couch, name, reserved.rev);
  }
}

/**
 * Writes the document without its password. It is taken back unless every live leaf comes from it and a
 * quorum of nodes has it.
 */
async function reserveUser(
  couch: Pick<Couch, 'ask'>,
  name: string,
  document: UserDocument,
): Promise<UserWrite> {
  // Documents of the same content have the same revision: two sign-ups at once would share theirs.
  const salt = randomUUID();
  const reservation = { ...document, password: undefined, salt };
  const put = await putUser(couch, name, reservation).catch(async (thrown: unknown) => {
    // It may stand. Without this, the name would be taken.
    if (thrown instanceof Unavailable)
      for (const leaf of await userLeaves(couch, name))
        if (leaf['salt'] === salt) await withdrawUser(couch, name, leaf._rev);
    throw thrown;
  });
  if (put === undefined) return { outcome: 'conflict' };
  const { rev } = put;
  let isAlone = false;
  try {
    if (!put.hasQuorum) throw tooFewCopies();
    const leaves = await leavesWithAncestors(couch, name);
    isAlone = leaves.length > 0 && leaves.every((leaf) => comesFrom(leaf, rev));
  } finally {
    if (!isAlone) await withdrawUser(couch, name, rev);
  }
  return isAlone ? { outcome: 'written', rev } : { outcome: 'conflict' };
}

/**
 * Takes back a user that `createUser` made: deletes `rev` and every live leaf that comes from it, as the new
 * user may write its document meanwhile. Leaves of others stay. Throws `Unavailable`: then it may stand.
 */
export async function withdrawUser(couch: Pick<Couch, 'ask'>, name: string, rev: string): Promise<void> {
  let live: readonly string[] = [rev];
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    await Promise.all(live.map((each) => deleteLeaf(couch, name, each)));
    const leaves = await leavesWithAncestors(couch, name);
    live = leaves.filter((leaf) => comesFrom(leaf, rev)).map(({ _rev }) => _rev);
    if (live.length === 0) return;
  }
  throw new UnknownOutcome(UNCONFIRMED, { detail: 'the new user writes its document all the time' });
}

/** `undefined` = CouchDB has another revision. */
async function putUser(
  couch: Pick<Couch, 'ask'>,
  name: string,
  document: UserDocument,
): Promise<{ readonly rev: string; readonly hasQuorum: boolean } | undefined> {
  const path = userPath(name);
  const { status, body } = await couch.ask({ method: 'PUT', path, body: document, timeoutMs: TIMEOUT_MS });
  const { rev, error, reason } = (body ?? {}) as Readonly<Record<string, unknown>>;
  if (status === 409) return undefined;
  if (status === 400 || (status === 403 && error === 'forbidden'))
    throw new HttpError(status, String(error), String(reason));
  if ((status !== 201 && status !== 202) || typeof rev !== 'string')
    throw new UnknownOutcome(UNCONFIRMED, { detail: `_users answered ${status}` });
  return { rev, hasQuorum: status === 201 };
}

/** Deletes one leaf. A revision that is none any more stays as it is. Throws `Unavailable`. */
async function deleteLeaf(couch: Pick<Couch, 'ask'>, name: string, rev: string): Promise<void> {
  const path = `${userPath(name)}?rev=${encodeURIComponent(rev)}`;
  const { status } = await couch.ask({ method: 'DELETE', path, timeoutMs: TIMEOUT_MS });
  // 404 and 409 = somebody else has changed it meanwhile.
  if (status !== 200 && status !== 202 && status !== 404 && status !== 409)
    throw new UnknownOutcome(UNCONFIRMED, { detail: `_users answered ${status}` });
}

/** The live leaves with `_revisions`. */
async function leavesWithAncestors(couch: Pick<Couch, 'ask'>, name: string): Promise<readonly UserLeaf[]> {
  const path = `${userPath(name)}?open_revs=all&revs=true`;
  return leavesIn(await couch.ask({ method: 'GET', path }));
}

/** True if the leaf is the revision, or a later one of the same branch. */
function comesFrom(leaf: UserLeaf, rev: string): boolean {
  return leaf._rev === rev || branchOf(leaf).includes(rev);
}

function tooFewCopies(): Unavailable {
  return new UnknownOutcome(UNCONFIRMED, { detail: 'fewer nodes than the quorum have the user' });
}
