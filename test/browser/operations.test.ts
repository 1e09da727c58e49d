// What an operator does in the dashboard: CORS, addresses, the state of the cluster.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { type Dashboard, NO_BROWSER, readAgain } from '../support/browser.ts';
import { dashboardSuite } from '../support/dashboard-suite.ts';
import { until } from '../support/until.ts';

describe('an operator at the dashboard', { skip: NO_BROWSER }, () => {
  const suite = dashboardSuite(() => ({ settings: { healthIntervalMs: 200 } }));

  async function open(link: string): Promise<Dashboard> {
    const dashboard = await suite.open();
    await dashboard.page.getByRole('link', { name: link }).click();
    await dashboard.page.getByRole('heading', { name: link, exact: true }).waitFor();
    return dashboard;
  }

  it('turns CORS on for a site, and sees why another one is refused', async () => {
    const cors = async (): Promise<unknown> =>
      (await suite.gate.ask('GET', '/_api/v2/user/config/cors', { as: suite.gate.owner })).body;
    const dashboard = await open('CORS');
    dashboard.expectRefusal(/^400 \/_api\/v2\/user\/config\/cors$/);
    const { page } = dashboard;
    await page.getByText('CORS is off.').waitFor();
    await page.getByRole('button', { name: 'Turn CORS on' }).click();
    await page.getByText('CORS is on.').waitFor();
    // People paste the address of a page; an origin has no path.
    await page.getByLabel('Add an origin').fill('https://App.example.com/index.html');
    await page.getByRole('button', { name: 'Add origin' }).click();
    await page.getByRole('listitem').getByText('https://app.example.com').waitFor();
    await page.getByLabel('Add an origin').fill('not an origin');
    await page.getByRole('button', { name: 'Add origin' }).click();
    await page.getByText('is not an origin').first().waitFor();
    // The checkbox keeps its new state from the click on, also while a busy browser runs no timer.
    const wasShownAtOnce: unknown = await page.evaluate(
      `(async () => {
        const labels = [...document.querySelectorAll('label')];
        const box = labels.find(({ textContent }) => textContent.startsWith('Pages may send cookies')).control;
        box.click();
        // Only microtasks run in between.
        for (let turn = 0; turn < 100; turn++) await undefined;
        return box.checked;
      })()`,
    );
    assert.equal(wasShownAtOnce, true);
    await page.getByLabel('Origin of the page').fill('https://app.example.org');
    await page.getByRole('button', { name: 'Test' }).click();
    await page.getByText('The list contains https://app.example.com').waitFor();
    await page.getByLabel('Origin of the page').fill('https://app.example.com');
    await page.getByRole('button', { name: 'Test' }).click();
    await page.getByText('Allowed by origins[0], with credentials').waitFor();
    assert.deepEqual(await cors(), {
      enable_cors: true,
      allow_credentials: true,
      origins: ['https://app.example.com'],
    });
    await page.getByRole('button', { name: 'Edit https://app.example.com' }).click();
    await page.getByLabel('Change https://app.example.com').fill('app://obsidian.md');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: 'Remove app://obsidian.md' }).click();
    await page.getByText('No origin is listed.').waitFor();
    await page.getByLabel('All origins').check();
    await page.getByText('Any web site can read').waitFor();
    // The page shows the choice before it is saved.
    const forAll = { enable_cors: true, allow_credentials: false, origins: ['*'] };
    await until(async () => isDeepStrictEqual(await cors(), forAll), 'the choice is saved');
    const stored = { ...forAll, enable_cors: false, allow_credentials: true };
    const as = suite.gate.owner;
    await suite.gate.ask('PUT', '/_api/v2/user/config/cors', { as, body: stored });
    await readAgain(page, /config\/cors$/);
    await page.getByRole('button', { name: 'Turn CORS on' }).click();
    await until(async () => isDeepStrictEqual(await cors(), forAll), 'CORS is on without credentials');
  });

  it('is asked before all origins take the place of the list, and puts it back', async () => {
    const request = ['/_api/v2/user/config/cors', { as: suite.gate.owner }] as const;
    const cors = async (): Promise<unknown> => (await suite.gate.ask('GET', ...request)).body;
    const body = { enable_cors: true, allow_credentials: true, origins: ['https://a.example.com'] };
    await suite.gate.ask('PUT', request[0], { ...request[1], body });
    const { page } = await open('CORS');
    const dialog = page.getByRole('dialog');
    const listed = page.getByLabel('Only the origins listed here');
    await listed.focus();
    await page.keyboard.press('ArrowUp');
    await dialog.getByText('https://a.example.com').waitFor();
    assert.deepEqual(await cors(), body);
    await dialog.getByRole('button', { name: 'Allow all origins' }).click();
    await page.getByText('Any web site can read').waitFor();
    await listed.check();
    await until(async () => isDeepStrictEqual(await cors(), body), 'the list is back');
  });

  it('keeps an origin that is typed when a save fails, and when somebody else changes CORS', async () => {
    const as = suite.gate.owner;
    const path = '/_api/v2/user/config/cors';
    const put = async (enable_cors: boolean, origins: readonly string[]): Promise<void> => {
      const body = { enable_cors, allow_credentials: false, origins };
      assert.equal((await suite.gate.ask('PUT', path, { as, body })).status, 200);
    };
    const a = 'https://a.example.com';
    await put(true, [a]);
    const dashboard = await open('CORS');
    dashboard.expectRefusal(/^503 \/_api\/v2\/user\/config\/cors$/);
    const { page } = dashboard;
    await page.getByRole('button', { name: `Edit ${a}` }).click();
    const change = page.getByLabel(`Change ${a}`);
    await change.fill('https://b.example.com');
    await page.getByLabel('Add an origin').fill('https://c.example.com');
    let isAway = true;
    await page.route(`**${path}`, (route) =>
      isAway && route.request().method() === 'PUT'
        ? route.fulfill({ status: 503, json: { error: 'x', reason: 'CouchDB is away.' } })
        : route.continue(),
    );
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('CouchDB is away.').waitFor();
    isAway = false;
    assert.equal(await page.getByText('The change was not saved').count(), 0);
    assert.equal(await change.inputValue(), 'https://b.example.com');
    await put(false, []);
    await readAgain(page, /config\/cors$/);
    await page.getByText('CORS is off.').waitFor();
    await put(true, []);
    await readAgain(page, /config\/cors$/);
    await page.getByText('CORS is on.').waitFor();
    assert.equal(await change.inputValue(), 'https://b.example.com');
    assert.equal(await page.getByLabel('Add an origin').inputValue(), 'https://c.example.com');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: 'Edit https://b.example.com' }).waitFor();
  });

  it('gives a key every database of a prefix, sees it on one of them, and takes it away', async () => {
    const as = suite.gate.owner;
    const key = await suite.gate.key();
    await suite.gate.database('userdb-ann', {});
    const list = async (kind: string): Promise<unknown> =>
      ((await suite.gate.ask('GET', `/_api/v2/${kind}`, { as })).body as Record<string, unknown>)[kind];
    const dashboard = await open('Grants');
    dashboard.expectRefusal(/^4(?:00|12) \/_api\/v2\/prefix_grants\//);
    const { page } = dashboard;
    await page.getByRole('button', { name: 'Add prefix grant' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('combobox', { name: 'User name or API key' }).fill(key.name);
    await dialog.getByLabel('Databases whose name begins with').fill('us');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.getByText('must have 3 to 237 characters').waitFor();
    await dialog.getByLabel('Databases whose name begins with').fill('userdb-');
    await dialog.getByText('Now: userdb-ann.').waitFor();
    await dialog.getByRole('checkbox', { name: 'Security' }).check();
    assert.equal(await dialog.getByRole('button', { name: 'Save' }).isDisabled(), true);
    await dialog.getByRole('checkbox', { name: 'Security' }).uncheck();
    await dialog.getByLabel('May create such databases').check();
    await dialog.getByLabel('Until there are so many').fill('20');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved. It is in force now.').waitFor();
    await page.getByText('Read, Create (at most 20)').waitFor();
    assert.equal((await suite.gate.ask('PUT', '/userdb-bob', { as: key })).status, 201);

    // What somebody else revokes or changes meanwhile neither comes back nor goes.
    const [made] = (await list('prefix_grants')) as [{ readonly id: string; readonly revision: string }];
    const path = `/_api/v2/prefix_grants/${made.id}`;
    const body = { principal: key.name, databases: 'userdb-*', roles: ['_writer'], create: true };
    await page.getByRole('button', { name: `Remove the grant on userdb-* for ${key.name}` }).click();
    await suite.gate.ask('PUT', path, { as, body });
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await dialog.getByText('Somebody else has changed or removed this grant').waitFor();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('row', { name: 'Write, Create (at most 1,000)' }).waitFor();
    await page.getByRole('button', { name: `Change the grant on userdb-* for ${key.name}` }).click();
    await suite.gate.ask('DELETE', path, { as });
    await dialog.getByLabel('Read', { exact: true }).check();
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.getByText('Somebody else has changed or removed this grant').waitFor();
    assert.deepEqual(await list('prefix_grants'), []);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await suite.gate.ask('PUT', path, { as, body });
    await readAgain(page, /prefix_grants$/);

    await page.getByRole('link', { name: 'Databases', exact: true }).click();
    await page.getByRole('row', { name: 'userdb-ann' }).getByText('1 by prefix').waitFor();
    await dashboard.go('/databases/userdb-ann/permissions');
    await page.getByText('No name has a role by these permissions. Prefix grants').waitFor();
    await page.getByRole('row', { name: key.name }).getByRole('link', { name: 'userdb-*' }).click();
    await page.getByRole('button', { name: `Remove the grant on userdb-* for ${key.name}` }).click();
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('row', { name: key.name }).waitFor({ state: 'detached' });
    assert.deepEqual(await list('prefix_grants'), []);
    assert.equal((await suite.gate.ask('GET', '/userdb-ann', { as: key })).status, 403);

    await page.getByRole('combobox', { name: 'Add a monitor' }).fill(key.name);
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByRole('listitem').getByText(key.name).waitFor();
    assert.equal((await suite.gate.ask('GET', '/_active_tasks', { as: key })).status, 200);
    await dashboard.go(`/keys/${key.name}`);
    await page.getByText('it may read numbers about the cluster').waitFor();
    await page.getByRole('link', { name: 'monitor' }).click();
    await page.getByRole('button', { name: `Remove the monitor ${key.name}` }).click();
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('listitem').waitFor({ state: 'detached' });
    assert.deepEqual(await list('server_grants'), []);
  });

  it('finds out why a request was denied, and opens the key that sent it', async () => {
    const key = await suite.gate.key();
    await suite.gate.database('orders', {});
    await suite.gate.ask('PUT', '/orders/x', { as: key, body: {} });
    await suite.gate.ask('GET', '/orders/x?n=<img src=x onerror="window.hacked=1">', {
      headers: { 'User-Agent': '<script>window.hacked=1</script>' },
    });
    const { page } = await open('Access log');
    const signIn = page.locator('tr', { hasText: 'POST /_session' }).first();
    await signIn.getByText(`${suite.gate.owner.name} signed in`).waitFor();
    await page.getByRole('link', { name: 'Denied', exact: true }).click();
    // The focus stays on what was chosen; a span that ends before the requests has none of them.
    await page.getByLabel('Time').selectOption('Between two times …');
    await page.getByLabel('Until').fill('2026-01-31T12:00');
    await page.getByRole('button', { name: 'Search', exact: true }).click();
    await page.getByText('No line matches.').waitFor();
    assert.match(page.url(), /until=2026-01-3/);
    await page.getByLabel('Time').focus();
    await page.getByLabel('Time').selectOption('Last 2 hours');
    await page.getByText('403 denied').first().waitFor();
    await page.getByLabel('Time').and(page.locator(':focus')).waitFor();
    await page.getByLabel('Database').fill('orders');
    await page.getByRole('button', { name: 'Search', exact: true }).click();
    const row = page.locator('tr', { hasText: 'PUT /orders/x' });
    await row.getByText('403 denied').waitFor();
    await page
      .locator('tr', { hasText: 'nobody' })
      .getByRole('button', { name: /^More about/ })
      .click();
    await page.getByText('<script>window.hacked=1</script>').waitFor();
    assert.equal(await page.evaluate('window.hacked'), undefined);
    await page.getByLabel('Follow').check();
    await suite.gate.ask('DELETE', '/orders/x?rev=1-a', { as: key });
    await page.getByText('DELETE /orders/x').waitFor();
    await page.reload();
    await page.getByText('DELETE /orders/x').waitFor();
    await row.getByRole('link', { name: key.name }).click();
    await page.getByRole('heading', { name: key.name }).waitFor();
    await page.goBack();
    await row.getByRole('link', { name: 'Would it be allowed now?' }).click();
    await page.getByText('It lacks Write. It has no role here.').waitFor();
    await page.goBack();
    await row.waitFor();
    const { body } = await suite.gate.ask('GET', '/_api/v2/log?operation=api-log&limit=1', {
      as: suite.gate.owner,
    });
    const [line] = (body as { lines: readonly Record<string, unknown>[] }).lines;
    assert.deepEqual([line?.['management'], line?.['authMethod']], [true, 'dashboard']);
  });

  it('sees its own address, and tests another one', async () => {
    const dashboard = await open('Addresses');
    dashboard.expectRefusal(/^400 \/_api\/v2\/addresses\/test$/);
    const { page } = dashboard;
    await page.getByText('Couchgate sees you as 127.0.0.1').waitFor();
    await page.getByLabel('IP address').fill('192.0.2.7');
    await page.getByRole('button', { name: 'Test' }).click();
    await page.getByText('In allow: 0.0.0.0/0').waitFor();
    await page.getByLabel('IP address').fill('127.1');
    await page.getByRole('button', { name: 'Test' }).click();
    await page.getByText('must be an IP address').waitFor();
  });

  it('sees at a glance whether the cluster is well, and which node is not', async () => {
    const dashboard = await open('Cluster');
    const { page } = dashboard;
    await page.getByText('All is well').waitFor();
    const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
    await page.getByText(`Couchgate ${version}`).waitFor();
    const configPath = '/_node/_local/_config';
    const setting = (name: string) => page.locator('li', { hasText: name });
    await page.route('**/_api/v2/cluster/check', async (route) => {
      // The settings of a node that setup has not seen; the embedded one has none.
      const { folders } = (await (await route.fetch()).json()) as { folders: unknown };
      const check = (name: string, result: string, remedy: string | null) => ({
        ...{ check: name, result, why: 'because of <b>it</b> (H1, H15)', remedy },
      });
      const checks = [
        check('[jwt_auth] required_claims', 'passed', null),
        check('[chttpd_auth] secret', 'advice', 'set digits'),
        check('[chttpd] enable_cors', 'failed', 'set it to `false`'),
      ];
      const nodes = [
        { node: 'couchdb1:5984', state: 'checked', reason: null, checks },
        { node: 'couchdb2:5984', state: 'away', reason: 'ECONNREFUSED', checks: [] },
      ];
      await route.fulfill({ json: { checked_at: new Date().toISOString(), passed: false, nodes, folders } });
    });
    await page.getByRole('button', { name: 'Check the settings' }).click();
    await page.getByText('Not all is right').waitFor();
    assert.equal(
      await setting('enable_cors').innerText(),
      '✗\nFails:\n[chttpd] enable_cors: because of <b>it</b>\nTo do: set it to false',
    );
    await page.getByText('It does not answer, so its settings are not known (ECONNREFUSED).').waitFor();
    assert.equal(await setting('required_claims').isVisible(), false);
    await page.getByText('1 passed').click();
    await setting('required_claims').waitFor();
    await page.unroute('**/_api/v2/cluster/check');
    suite.gate.recorder.takeEverything();
    await page.getByRole('button', { name: 'Check again' }).click();
    const isEmbedded = suite.gate.backend.kind === 'embedded';
    await page.getByText(isEmbedded ? 'It shows no settings.' : /^\d+ passed$/).waitFor();
    assert.equal(
      suite.gate.recorder.takeEverything().filter(({ url }) => url === configPath).length <= 1,
      true,
    );
    // Other requests of the page may meet the node that is away.
    dashboard.expectRefusal(/^503 \//);
    await suite.gate.recorder.stop();
    await page.getByText('Couchgate cannot serve').waitFor();
    await page.getByRole('row', { name: 'Down' }).waitFor();
    await suite.gate.recorder.restart();
    await page.getByText('All is well').waitFor();
  });
});
