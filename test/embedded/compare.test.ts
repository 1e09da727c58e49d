// Runs the recorded comparison with CouchDB 3.5.0 against the embedded node.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startEmbeddedNode } from '../../src/embedded/index.ts';
import { compare } from '../compare/compare.ts';
import { readRecorded } from '../compare/recorded.ts';
import { runSteps } from '../compare/run.ts';

/** Number of equal answers. Raise it after an improvement; `npm run compare` lists the differences. */
const MINIMUM = { equal: 339, equalStatus: 354 };

it(`answers like CouchDB 3.5.0 – npm run compare – at least ${MINIMUM.equal} equal answers`, async () => {
  const owner = { name: 'admin', password: 'owner_password' };
  const secret = Buffer.from('a secret of the comparison, 32 bytes');
  const node = await startEmbeddedNode({ folder: undefined, owner, jwtKeys: { couchgate: secret } });
  try {
    const server = { url: node.url, owner, kid: 'couchgate', jwtSecretBase64: secret.toString('base64') };
    const result = compare(readRecorded(), await runSteps(server));
    const names = [...result.otherStatus, ...result.otherShape].map(({ name }) => name).join('\n');
    assert.ok(result.equal >= MINIMUM.equal, `${result.equal} equal; others:\n${names}`);
    assert.ok(result.total - result.otherStatus.length >= MINIMUM.equalStatus, names);
  } finally {
    await node.close();
  }
});
