// What an operator does in the dashboard: CORS, addresses, the state of the cluster.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Dashboard, NO_BROWSER } from '../support/browser.ts';
import { dashboardSuite } from '../support/dashboard-suite.ts';

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
    await page.getByLabel('Pages may send cookies').check();
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
    await page.getByLabel('New text of https://app.example.com').fill('app://obsidian.md');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: 'Remove app://obsidian.md' }).click();
    await page.getByText('No origin is listed.').waitFor();
    await page.getByLabel('All origins').check();
    await page.getByText('Any web site can read').waitFor();
    assert.deepEqual(await cors(), { enable_cors: true, allow_credentials: false, origins: ['*'] });
  });

  it('finds out why a request was denied, and opens the key that sent it', async () => {
    const key = await suite.gate.key();
    await suite.gate.database('orders', {});
    await suite.gate.ask('PUT', '/orders/x', { as: key, body: {} });
    await suite.gate.ask('GET', '/orders/x?n=<img src=x onerror="window.hacked=1">', {
      headers: { 'User-Agent': '<script>window.hacked=1</script>' },
    });
    const { page } = await open('Access log');
    await page.getByRole('link', { name: 'Denied', exact: true }).click();
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
    // Other requests of the page may meet the node that is away.
    dashboard.expectRefusal(/^503 \//);
    await suite.gate.recorder.stop();
    await page.getByText('Couchgate cannot serve').waitFor();
    await page.getByRole('row', { name: 'Down' }).waitFor();
    await suite.gate.recorder.restart();
    await page.getByText('All is well').waitFor();
  });
});
