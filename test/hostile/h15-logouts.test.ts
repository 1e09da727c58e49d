// H15.7: sign-outs. Each is a document that the store keeps, so one principal may have so many.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { createSessionTokens } from '../../src/identity/session-token.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { startIdentityFront, type IdentityFront } from '../support/identity-front.ts';
import { closedAfterSuite } from '../support/started.ts';

const MOST = 1000;
const AT_ONCE = 20;

describe('H15.7 ended sessions of one principal', () => {
  const storeDatabase = `s-${randomBytes(4).toString('hex')}`;
  const sessionSecret = randomBytes(32);
  const tokens = createSessionTokens({ secret: sessionSecret });
  let backend: Backend;
  let front: IdentityFront;

  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend());
    front = await started(startIdentityFront(backend, { sessionSecret, settings: { storeDatabase } }));
  });

  /** A session that sign-in would have begun. */
  const tokenOf = (name: string, id: string): string =>
    tokens.sign({
      kind: 'key',
      name,
      id,
      version: 'v',
      issuedAt: Date.now(),
      expiresAt: Date.now() + 600_000,
    });

  async function signOut(name: string, id: string): Promise<Response> {
    const headers = { cookie: `AuthSession=${tokenOf(name, id)}` };
    const answer = await fetch(`${front.url}/_session`, { method: 'DELETE', headers });
    await answer.arrayBuffer();
    return answer;
  }

  async function documents(): Promise<number> {
    const path = `/${storeDatabase}/_all_docs?startkey=%22news%3Asession%3A%22&endkey=%22news%3Asession%3B%22`;
    const { body } = await front.replica.couch.ask({ method: 'GET', path });
    return (body as { rows: readonly unknown[] }).rows.length;
  }

  it('are at most 1000 documents – DELETE /_session – 429', async () => {
    const statuses = new Map<number, number>();
    for (let count = 0; count < MOST + AT_ONCE; count += AT_ONCE) {
      const answers = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, at) => signOut('greedy', `id-${count + at}`)),
      );
      for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    assert.deepEqual(
      [...statuses],
      [
        [200, MOST],
        [429, AT_ONCE],
      ],
    );
    assert.equal(await documents(), MOST);
    const refused = await signOut('greedy', 'one-more');
    const seconds = Number(refused.headers.get('retry-after'));
    assert.ok(seconds > 4000 && seconds <= 4320, `${seconds} s`);
  });

  it('are no more by sign-outs of the same session – 200; others are not concerned – 200', async () => {
    const before = await documents();
    for (let count = 0; count < 3; count += 1) assert.equal((await signOut('other', 'same')).status, 200);
    assert.equal(await documents(), before + 1);
    assert.equal((await signOut('greedy', 'id-0')).status, 200);
  });
});
