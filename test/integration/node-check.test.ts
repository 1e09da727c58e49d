// What the check of a node finds out, against a real CouchDB where there is one, and against nodes that are wrong on purpose.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkNode, examineNode } from '../../src/couch/node-check.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { ownToken } from '../support/own-couch.ts';
import { answerJson, startScriptedNode } from '../support/scripted-node.ts';

const access = { urls: [], jwtSecretBase64: Buffer.alloc(32, 7).toString('base64'), kid: 'couchgate' };
const bare = (authorization: string): string => authorization.replace('Bearer ', '');
const session = (userCtx: unknown): unknown => ({ ok: true, userCtx, info: {} });

describe('the check of a CouchDB node', () => {
  let backend: Backend;
  before(async () => {
    backend = await startBackend();
  });
  after(() => backend.close());

  it('finds nothing wrong with a node that has our key', async () => {
    for (const url of backend.urls) await checkNode(url, bare(ownToken(backend)));
  });

  it('names a node that has another secret', async () => {
    const [url = ''] = backend.urls;
    const token = bare(ownToken({ ...backend, jwtSecretBase64: access.jwtSecretBase64 }));
    const { problem = '' } = await examineNode(url, token);
    assert.match(
      problem,
      /^CouchDB node 127\.0\.0\.1:\d+ rejects our token with status 40[01]: \[jwt_keys\] hmac:couchgate is missing/,
    );
    assert.equal(problem.includes(token), false);
  });

  it('names a node that does not know our kid', async () => {
    const [url = ''] = backend.urls;
    await assert.rejects(
      checkNode(url, bare(ownToken({ ...backend, kid: 'other' }))),
      /rejects our token with status 40[01]: \[jwt_keys\] hmac:other/,
    );
  });

  for (const [title, answer, expected] of [
    [
      'ignores tokens',
      session({ name: null, roles: [] }),
      /ignores our token: jwt_authentication_handler is missing/,
    ],
    [
      'drops roles',
      session({ name: 'couchgate', roles: [] }),
      /reads another user or other roles from our token/,
    ],
    [
      'adds roles',
      session({ name: 'couchgate', roles: ['_admin', 'x'] }),
      /reads another user or other roles from our token/,
    ],
    ['answers what is no session', [], /reads another user or other roles/],
  ] as const) {
    it(`names a node that ${title}`, async () => {
      const node = await startScriptedNode((_, res) => answerJson(res, 200, answer));
      await assert.rejects(checkNode(node.url, bare(ownToken(access))), expected);
      await node.close();
    });
  }

  it('notices a node that refuses requests without credentials, and says which setting', async () => {
    const node = await startScriptedNode((req, res) => {
      if (req.headers.authorization === undefined) answerJson(res, 401, { error: 'unauthorized' });
      else answerJson(res, 200, session({ name: 'couchgate', roles: ['_admin'] }));
    });
    const { problem, notice } = await examineNode(node.url, bare(ownToken(access)));
    await node.close();
    assert.equal(problem, undefined);
    assert.match(notice ?? '', /require_valid_user is true.*`npm start -- setup`/);
  });

  it('names a node that is not there, and one that is silent', async () => {
    const silent = await startScriptedNode(() => undefined);
    await assert.rejects(
      checkNode(silent.url, bare(ownToken(access)), { timeoutMs: 50 }),
      /cannot be reached: timeout/,
    );
    await silent.close();
    await assert.rejects(checkNode(silent.url, bare(ownToken(access))), /cannot be reached: ECONNREFUSED/);
  });
});
