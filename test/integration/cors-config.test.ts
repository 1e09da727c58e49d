// GET and PUT /_api/v2/user/config/cors: in Cloudant's shape, into the real file, into force at once.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type Request, type Response as ExpressResponse } from 'express';
import { applyOriginRules } from '../../src/admit/origin.ts';
import { loadConfiguration, loadSettings } from '../../src/config/load.ts';
import { watchSettings } from '../../src/config/reload.ts';
import { corsConfigHandlers } from '../../src/answer/cors-config.ts';
import { rememberingLog } from '../support/log.ts';
import { attachContext, testBodies } from '../support/bodies.ts';
import { serveSteps } from '../support/steps-server.ts';

const root = mkdtempSync(join(tmpdir(), 'couchgate-cors-'));
const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
  rmSync(root, { recursive: true, force: true });
});

let count = 0;
/** The handlers behind a server of their own, over a new configuration folder with these files. */
async function serve(files: Readonly<Record<string, string>>, env: Record<string, string> = {}) {
  const folder = join(root, String((count += 1)));
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const initial = loadSettings({ env, folder });
  const live = watchSettings({
    env,
    folder,
    initial,
    log: rememberingLog(),
    acceptCertificates: () => undefined,
  });
  const handlers = corsConfigHandlers({ bodies: testBodies(), live, env });
  const changes: unknown[] = [];
  const server = await serveSteps([
    applyOriginRules(live, { publicUrl: '' }),
    (req: Request, res: ExpressResponse) => {
      const context = attachContext(req);
      res.on('close', () => changes.push(context.outcome.change));
      return handlers[req.method === 'GET' ? 'api-cors-get' : 'api-cors-put'](req, res, context);
    },
  ]);
  closers.push(() => {
    server.close();
    live.close();
  });
  const ask = async (method: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${server.url}/_api/v2/user/config/cors`, {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    return { status: answer.status, body: await answer.json() };
  };
  const preflight = async (origin: string): Promise<number> =>
    (
      await fetch(server.url, {
        method: 'OPTIONS',
        headers: { Origin: origin, 'Access-Control-Request-Method': 'PUT' },
      })
    ).status;
  return { folder, live, ask, preflight, changes };
}

const APP = 'https://app.example.com';

describe('the CORS endpoint', () => {
  it('writes the file, keeps its comments, and is in force at once – PUT – 200', async () => {
    const { folder, ask, preflight, changes } = await serve({
      'cors.yaml': '# mine\nenable_cors: false # why\norigins: []\n',
    });
    assert.deepEqual(await ask('GET'), {
      status: 200,
      body: { enable_cors: false, allow_credentials: false, origins: [] },
    });
    assert.notEqual(await preflight(APP), 204, 'CORS is off');
    const wanted = { enable_cors: true, allow_credentials: true, origins: [APP, 'app://obsidian.md'] };
    assert.deepEqual(await ask('PUT', wanted), { status: 200, body: { ok: true } });
    assert.deepEqual(await ask('GET'), { status: 200, body: wanted });
    assert.equal(await preflight(APP), 204);
    const text = readFileSync(join(folder, 'cors.yaml'), 'utf8');
    assert.match(text, /^# mine\nenable_cors: true # why\n/);
    assert.deepEqual(readdirSync(folder), ['cors.yaml']);
    assert.deepEqual(loadSettings({ env: {}, folder }).origins, wanted.origins);
    assert.deepEqual(changes.filter(Boolean)[0], {
      action: 'set cors',
      before: { enable_cors: false, allow_credentials: false, origins: [] },
      after: wanted,
    });
  });

  it('makes the file when there is none, and takes origins alone as the SDK may send them – POST – 200', async () => {
    const { ask } = await serve({});
    assert.equal((await ask('POST', { origins: ['*'] })).status, 200);
    assert.deepEqual((await ask('GET')).body, {
      enable_cors: true,
      allow_credentials: false,
      origins: ['*'],
    });
  });

  it('keeps every origin with credentials while CORS is off, and refuses to turn that on – PUT – 200, 400', async () => {
    const { folder, ask, preflight } = await serve({});
    const off = { enable_cors: false, allow_credentials: true, origins: ['*'] };
    assert.equal((await ask('PUT', off)).status, 200);
    assert.notEqual(await preflight(APP), 204);
    assert.deepEqual(loadSettings({ env: {}, folder }).origins, ['*'], 'the next start reads it');
    assert.equal((await ask('PUT', { ...off, enable_cors: true })).status, 400);
    assert.deepEqual((await ask('GET')).body, off);
  });

  const refused: readonly [body: unknown, reason: RegExp][] = [
    [{ origins: ['*'], allow_credentials: true }, /must not contain "\*" while allow_credentials/],
    [{ origins: ['https://x.example/'] }, /is not an origin/],
    [{ origins: ['null'] }, /sandboxed/],
    [{ origins: [APP, 7] }, /origins\[1\] must be text/],
    [{ origins: 'https://x.example' }, /origins must be a list/],
    [{ origins: [APP], enable_cors: 'true' }, /must be true or false/],
    [{ origin: [APP] }, /Unknown fields: origin/],
    [[], /must be a JSON object/],
  ];
  for (const [body, reason] of refused)
    it(`refuses ${JSON.stringify(body)} – PUT – 400, the file is as it was`, async () => {
      const text = 'origins: [https://old.example]\n';
      const { folder, ask } = await serve({ 'cors.yaml': text });
      const answer = await ask('PUT', body);
      assert.equal(answer.status, 400);
      assert.match((answer.body as { reason: string }).reason, reason);
      assert.equal(readFileSync(join(folder, 'cors.yaml'), 'utf8'), text);
    });

  it('says that the environment decides – PUT – 409', async () => {
    const { ask } = await serve({}, { COUCHGATE_CORS_ORIGINS: APP });
    const answer = await ask('PUT', { origins: [] });
    assert.equal(answer.status, 409);
    assert.match(JSON.stringify(answer.body), /"error":"read_only","reason":".*COUCHGATE_CORS_ORIGINS/);
  });

  it('says that the file cannot be written – PUT – 409, nothing has changed', async () => {
    const { folder, live, ask } = await serve({ 'cors.yaml': `origins: [${APP}]\n` });
    // A folder in the file's place is one cause that holds for root too.
    rmSync(join(folder, 'cors.yaml'));
    mkdirSync(join(folder, 'cors.yaml'));
    const answer = await ask('PUT', { origins: [] });
    assert.equal(answer.status, 409);
    assert.match(JSON.stringify(answer.body), /cannot be written \(EISDIR\)/);
    assert.deepEqual(live.current.origins, [APP]);
    assert.deepEqual(readdirSync(folder), ['cors.yaml']);
  });

  it('writes COUCHGATE_CORS_FILE and leaves a read-only folder alone – PUT – 200, in force at once', async () => {
    const elsewhere = join(root, 'data', 'cors.yaml');
    const text = '# ours\norigins: [https://old.example]\n';
    const { folder, live, ask } = await serve({ 'cors.yaml': text }, { COUCHGATE_CORS_FILE: elsewhere });
    assert.deepEqual(live.current.origins, ['https://old.example']);
    assert.equal((await ask('PUT', { origins: [APP] })).status, 200);
    assert.deepEqual(live.current.origins, [APP]);
    assert.equal(readFileSync(join(folder, 'cors.yaml'), 'utf8'), text);
    assert.match(readFileSync(elsewhere, 'utf8'), /^# ours\n/);
    const { settings, warnings } = loadConfiguration({ env: { COUCHGATE_CORS_FILE: elsewhere }, folder });
    assert.deepEqual(settings.origins, [APP], 'the next start reads it too');
    assert.match(warnings.join(), /cors\.yaml has no effect: .* is used instead/);
    rmSync(elsewhere);
    assert.equal(live.reload().outcome, 'refused', 'a file that vanished does not bring older rules back');
  });

  it('puts the old file back when the whole cannot be read again – PUT – 409', async () => {
    const { folder, live, ask } = await serve({ 'cors.yaml': `origins: [${APP}]\n` });
    writeFileSync(join(folder, 'couchgate.yaml'), 'lisen: x\n');
    const answer = await ask('PUT', { origins: [] });
    assert.equal(answer.status, 409);
    assert.match(JSON.stringify(answer.body), /lisen/);
    assert.equal(readFileSync(join(folder, 'cors.yaml'), 'utf8'), `origins: [${APP}]\n`);
    assert.deepEqual(live.current.origins, [APP]);
  });
});
