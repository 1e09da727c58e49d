// H25: a password in a URL that was written in the place of a name does not reach the access log.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CALLER_HEADER, startPolicyFront, type PolicyFront } from '../support/policy-front.ts';

const PASSWORD = 'swordfish';

describe('H25 the access log', () => {
  let front: PolicyFront;
  before(async () => (front = await startPolicyFront()));
  after(() => front.close());

  const NAMES = [
    `https://user:${PASSWORD}@host/db`,
    `user:${PASSWORD}@host`,
    `user:${PASSWORD}'s@host`,
    `user:my ${PASSWORD}@host`,
    `https%3A%2F%2Fuser%3A${PASSWORD}%40host%2Fdb`,
    `x?token=${PASSWORD}`,
  ];

  async function attack(path: string): Promise<void> {
    for (const method of ['GET', 'PUT', 'DELETE', 'POST'])
      for (const caller of ['owner', 'writer', 'reader+writer'])
        await (await fetch(`${front.url}${path}`, { method, headers: { [CALLER_HEADER]: caller } })).text();
    const lines = front.takeLines();
    assert.ok(lines.length >= 12, `${lines.length} >= 12`);
    for (const line of lines) assert.ok(!JSON.stringify(line).includes(PASSWORD), JSON.stringify(line));
  }

  for (const name of NAMES)
    it(`does not hold the password of ${name} as a database`, () => attack(`/${encodeURIComponent(name)}`));

  // Other ids may have an at sign, as the names of users do.
  for (const path of ['/db/_', '/db/doc/_', '/db/doc/_x/', '/db/_design/doc/_x/', '/_node/'])
    it(`does not hold the password of a URL behind ${path}`, () =>
      attack(path + encodeURIComponent(NAMES[0] ?? '')));
});
