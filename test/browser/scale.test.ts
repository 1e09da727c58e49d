// Lists of ten thousand, and a CouchDB that is away, in Chromium.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_BROWSER, signIn } from '../support/browser.ts';
import { dashboardSuite } from '../support/dashboard-suite.ts';

const MANY = 10_000;
const numbered = (prefix: string): readonly string[] =>
  Array.from({ length: MANY }, (_, at) => `${prefix}${String(at).padStart(5, '0')}`);

describe('the lists of the dashboard', { skip: NO_BROWSER }, () => {
  const suite = dashboardSuite();

  it('page, search and sort ten thousand databases and keys', async (t) => {
    const dashboard = await suite.open({});
    const { page, context } = dashboard;
    // The server's own answers, as long as they would be: making the databases would take minutes.
    await context.route('**/_all_dbs', (route) => route.fulfill({ json: numbered('db-') }));
    await context.route('**/_dbs_info', (route) => {
      const { keys } = route.request().postDataJSON() as { readonly keys: readonly string[] };
      assert.ok(keys.length <= 100, 'CouchDB answers for at most 100 databases at once');
      const infos = keys.map((key) => ({
        key,
        info: { doc_count: Number(key.slice(3)), sizes: { active: 1 } },
      }));
      return route.fulfill({ json: infos });
    });
    await context.route('**/_security', (route) => route.fulfill({ json: { cloudant: {} } }));
    const grants = numbered('app')
      .slice(0, 1000)
      .map((id) => ({
        ...{ id, principal: id, databases: `${id}-*`, roles: ['_reader'], create: false, delete: false },
        ...{ by: 'admin', at: '2026-01-01T00:00:00.000Z' },
      }));
    await context.route('**/prefix_grants', (route) => route.fulfill({ json: { prefix_grants: grants } }));
    const keys = numbered('key').map((key, at) => ({
      key,
      label: `sensor ${at}`,
      created_by: 'admin',
      created_at: '2026-01-01T00:00:00.000Z',
      expires_at: at % 2 === 0 ? '2026-02-01T00:00:00.000Z' : null,
      last_used: null,
    }));
    let release = (): void => undefined;
    const isReleased = new Promise<void>((resolve) => (release = resolve));
    await context.route('**/api_keys?*', async (route) => {
      const limit = Number(new URL(route.request().url()).searchParams.get('limit'));
      if (limit <= 50) return route.fulfill({ json: { api_keys: keys.slice(0, limit), next: 'key00050' } });
      await isReleased;
      return route.fulfill({ json: { api_keys: keys, next: null } });
    });
    const { name, password } = suite.gate.owner;
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.locator('input[name=password]').fill(password);

    const measured = async (what: string, act: () => Promise<unknown>, until: string): Promise<void> => {
      const start = performance.now();
      await act();
      await page.getByText(until, { exact: true }).first().waitFor();
      t.diagnostic(`${what}: ${Math.round(performance.now() - start)} ms`);
    };
    // The list is asked for while the session is read: at the sign-in, and when the page is opened again.
    const holdSession = async (): Promise<void> => {
      const listed = page.waitForRequest('**/_all_dbs');
      await context.unroute('**/_session');
      await context.route('**/_session', async (route) => {
        if (route.request().method() === 'GET') await listed;
        await route.continue();
      });
    };
    await holdSession();
    await measured(
      'first row of databases',
      () => page.getByRole('button', { name: 'Sign in' }).click(),
      'db-00000',
    );
    await page.getByText('1–50 of 10,000 databases').waitFor();
    assert.equal(await page.locator('tbody tr').count(), 50);
    await holdSession();
    await measured('first row, opened again', () => page.reload({ waitUntil: 'commit' }), 'db-00000');
    await measured('next page', () => page.getByRole('button', { name: 'Next' }).click(), 'db-00050');
    await measured('search', () => page.getByLabel('Search by name').fill('0999'), 'db-00999');
    await measured('sort', () => page.getByRole('button', { name: 'Documents' }).click(), 'db-00999');
    await measured('other way', () => page.getByRole('button', { name: 'Documents' }).click(), 'db-09999');
    assert.equal(await page.locator('tbody tr').first().locator('th').textContent(), 'db-09999');

    await measured('first row of keys', () => dashboard.go('/keys?sort=created'), 'key00000');
    await page.getByText('these are the first ones by name').waitFor();
    assert.equal(await page.getByRole('button', { name: /^Actions on the key/ }).count(), 0);
    release();
    await page.getByText('1–50 of 10,000 keys').waitFor();
    await page.getByLabel('Which keys').selectOption('expired');
    await page.getByText('1–50 of 5,000 keys').waitFor();
    await measured('search of keys', () => page.getByLabel('Search labels').fill('sensor 9998'), 'key09998');

    // Where a key has access, and what else has as many rows.
    await context.route('**/api_keys/key09998', (route) => route.fulfill({ json: keys[9998] }));
    const databases = numbered('db-').map((database, at) => ({
      database,
      roles: [at === 4711 ? '_admin' : '_reader'],
      source: '_security',
    }));
    await context.route('**/access?*', (route) => route.fulfill({ json: { databases } }));
    await page.getByRole('link', { name: 'key09998' }).click();
    await page.getByText('1–50 of 10,000 databases').waitFor();
    assert.equal(await page.locator('tbody tr').count(), 50);
    await page.getByRole('button', { name: 'Roles', exact: true }).click();
    await page.locator('tbody tr').first().getByText('db-04711').waitFor();
    await page.getByLabel('Search by name of the database').fill('zzz');
    await page.getByText('No database matches.').waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await page.getByText('1–50 of 10,000 databases').waitFor();
    await page.getByRole('button', { name: 'Copy roles' }).click();
    await page.getByText('and those on 9,980 more databases').waitFor();
    await page.keyboard.press('Escape');
    await dashboard.go('/grants');
    await page.getByText('1–50 of 1,000 grants').waitFor();
    await page.getByLabel('Search names and databases').fill('app00998-');
    await page.getByText('1 grant', { exact: true }).waitFor();
  });

  it('leave the search to the server if there are more than ten thousand keys', async () => {
    const dashboard = await suite.open();
    const { page, context } = dashboard;
    const keyOf = (key: string, label: string | null) => ({
      ...{ key, label, created_by: 'admin', created_at: '2026-01-01T00:00:00.000Z' },
      ...{ expires_at: null, last_used: null },
    });
    const asked: (string | null)[][] = [];
    await context.route('**/api_keys?*', (route) => {
      const { searchParams: query } = new URL(route.request().url());
      asked.push(['after', 'search', 'show', 'limit'].map((name) => query.get(name)));
      const [after, search] = [Number(query.get('after')), query.get('search')];
      // The server looks through a part of the keys at a time.
      if (search !== null && search !== 'needle' && search !== 'the stack' && search !== 'keyfarbehind')
        return route.fulfill({ json: { api_keys: [], next: null } });
      if (search !== null) {
        const found = after === 20_000 ? [keyOf('keyfarbehind', 'Needle in the stack')] : [];
        const next = after < 40_000 ? String(after + 20_000) : null;
        return route.fulfill({ json: { api_keys: found, next } });
      }
      const names = Array.from({ length: 2000 }, (_, at) => `key${String(after + at).padStart(5, '0')}`);
      return route.fulfill({
        json: { api_keys: names.map((name) => keyOf(name, null)), next: String(after + 2000) },
      });
    });
    await context.route('**/api_keys/keyfarbehind', (route) =>
      route.fulfill({ json: keyOf('keyfarbehind', 'Needle in the stack') }),
    );
    await dashboard.go('/keys');
    await page.getByText('There are more than 10,000 keys.').waitFor();
    await page.getByText('1–50 of 10,000 keys').waitFor();
    await page.getByLabel('Search labels').fill('needle');
    await page.getByText('1 key', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'keyfarbehind' }).click();
    await page.getByRole('heading', { name: 'Needle in the stack' }).waitFor();
    assert.deepEqual(
      asked.filter(([, search]) => search === 'needle'),
      ['', '20000', '40000'].map((after) => [after, 'needle', 'all', '1000']),
    );
    assert.equal(asked.filter(([, search, , limit]) => search === null && limit === '2000').length, 5);

    // Roles can be copied to a key that is not among the ten thousand.
    await suite.gate.database('fruit', {});
    const databases = [{ database: 'fruit', roles: ['_reader'], source: '_security' }];
    await context.route('**/access?*', (route) => route.fulfill({ json: { databases } }));
    await context.route('**/api_keys/key00000', (route) => route.fulfill({ json: keyOf('key00000', null) }));
    await dashboard.go('/keys/key00000');
    await page.getByRole('button', { name: 'Copy roles' }).click();
    const field = page.getByRole('combobox', { name: 'To the key' });
    await field.fill('key000');
    await page.getByText('More names match: type on').waitFor();
    await field.fill('haystack');
    await page.getByText('No key has this name').waitFor();
    await field.fill('the stack');
    await page.getByRole('option', { name: 'Needle in the stack · keyfarbehind' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Copy roles' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    const { body } = await suite.gate.ask('GET', '/_api/v2/db/fruit/_security', { as: suite.gate.owner });
    assert.deepEqual((body as { readonly cloudant: unknown }).cloudant, { keyfarbehind: ['_reader'] });
  });

  it('ask Couchgate also if the browser says that it is offline', async () => {
    const { page } = await suite.open({});
    await page.getByLabel('Name', { exact: true }).waitFor();
    // Couchgate may run on the same machine: this is the event without the loss of a network.
    await page.evaluate("window.dispatchEvent(new Event('offline'))");
    await signIn(page, suite.gate.owner);
    await page.getByText(/^\d+ databases$/).waitFor();
  });

  it('say that CouchDB is away, and recover by themselves', async () => {
    const dashboard = await suite.open();
    const { page } = dashboard;
    dashboard.expectRefusal(/^503 \//);
    await suite.gate.database('found-again', {});
    await page.getByRole('heading', { name: 'Databases' }).waitFor();
    await suite.gate.recorder.stop();
    await page.reload();
    await page.getByRole('alert').waitFor();
    await page.getByText(/^Request /).waitFor();
    await suite.gate.recorder.restart();
    await page.getByRole('link', { name: 'Permissions of found-again' }).waitFor();
  });
});
