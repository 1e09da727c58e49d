import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startEmbeddedNode } from '../../src/embedded/index.ts';
import { compare } from '../compare/compare.ts';
import { readRecorded } from '../compare/recorded.ts';
import { runSteps } from '../compare/run.ts';

/** What the node reached when this was written. It may rise; `npm run compare` tells what is left. */
const FLOOR = { equal: 339, equalStatus: 354 };

it(`answers as CouchDB 3.5.0 did – npm run compare – at least ${FLOOR.equal} answers equal`, async () => {
  const owner = { name: 'admin', password: 'owner_password' };
  const secret = Buffer.from('a secret of the comparison, 32 bytes');
  const node = await startEmbeddedNode({ folder: undefined, owner, jwtKeys: { couchgate: secret } });
  try {
    const server = { url: node.url, owner, kid: 'couchgate', jwtSecretBase64: secret.toString('base64') };
    const result = compare(readRecorded(), await runSteps(server));
    const names = [...result.otherStatus, ...result.otherShape].map(({ name }) => name).join('\n');
    assert.ok(result.equal >= FLOOR.equal, `${result.equal} equal; others:\n${names}`);
    assert.ok(result.total - result.otherStatus.length >= FLOOR.equalStatus, names);
  } finally {
    await node.close();
  }
});
