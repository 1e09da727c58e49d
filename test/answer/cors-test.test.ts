// POST /_api/v2/cors/test agrees with the preflights that the server answers, and says which rule decides.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';

const APP = 'https://app.example.com';

describe('POST /_api/v2/cors/test', () => {
  let gate: Couchgate;
  before(async () => {
    const settings = { enableCors: true, allowCredentials: true, origins: [APP, 'app://obsidian.md'] };
    gate = await startCouchgate({ settings });
  });
  after(() => gate.close());

  const test = (body: unknown) => gate.ask('POST', '/_api/v2/cors/test', { as: gate.owner, body });

  const CASES: readonly (readonly [question: Record<string, string>, words: RegExp])[] = [
    [{ origin: APP, method: 'PUT', headers: 'authorization, x-mine' }, /origins\[0\]/],
    [{ origin: 'app://obsidian.md', method: 'GET' }, /origins\[1\]/],
    [{ origin: `${APP}/`, method: 'GET' }, /not in the list.*no browser sends this origin/],
    [{ origin: 'https://app.example.org', method: 'GET' }, /not in the list.*must match exactly/],
    [{ origin: APP, method: 'PATCH' }, /the method is not one of/],
    [{ origin: APP, method: 'GET', headers: 'a b' }, /not a list of header names/],
  ];
  for (const [question, words] of CASES)
    it(`answers ${JSON.stringify(question)} as a preflight does`, async () => {
      const { status, body } = await test(question);
      assert.equal(status, 200);
      assert.match(JSON.stringify(body), words);
      const preflight = await gate.ask('OPTIONS', '/', {
        headers: {
          Origin: question['origin'] ?? '',
          'Access-Control-Request-Method': question['method'] ?? '',
          'Access-Control-Request-Headers': question['headers'] ?? '',
        },
      });
      assert.equal((body as { allowed: boolean }).allowed, preflight.status === 204);
    });

  for (const body of [{}, { origin: 1 }, { origin: APP, method: [] }, { origin: APP, more: true }, []])
    it(`refuses ${JSON.stringify(body)} – 400`, async () => {
      assert.equal((await test(body)).status, 400);
    });
});
