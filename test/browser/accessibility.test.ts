// The rules of axe-core on every page, in both themes, three widths and at a zoom of 200 %; and nothing is wider
// than the window.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { type Browser, type Page } from 'playwright-core';
import {
  type Dashboard,
  fillEditor,
  NO_BROWSER,
  openDashboard,
  signIn,
  startBrowser,
} from '../support/browser.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Dots of the screen for one pixel of the page. */
const DOTS = 2;
/**
 * Each state is looked at in each shape. At a zoom of 200 % a window of 1280 × 800 dots has 640 × 400 pixels.
 * Only the rules of contrast and of layout depend on colours and sizes, so the dark shape needs no other.
 */
const SHAPES = [
  { colorScheme: 'light', width: 1280, height: 800, rules: undefined },
  { colorScheme: 'light', width: 400, height: 800, rules: undefined },
  {
    colorScheme: 'dark',
    width: 640,
    height: 400,
    rules: ['color-contrast', 'target-size', 'scrollable-region-focusable', 'link-in-text-block'],
  },
] as const;
/** It loses against every other first revision. */
const CONFLICT = `1-${'0'.repeat(32)}`;

/** Brings a page into a state; resolves when it is shown. */
type Show = (dashboard: Dashboard) => Promise<void>;

const SHOWN: Readonly<Record<string, Show>> = {
  Databases: async ({ page, go }) => {
    await go('/databases');
    await page.getByText('Public').waitFor();
  },
  'Databases, the dialog that creates one': async ({ page, go }) => {
    await go('/databases');
    await page.getByRole('button', { name: 'Create database' }).click();
    await page.getByLabel('Name', { exact: true }).fill('Wrong');
    await page.getByText('Begin with').waitFor();
  },
  Permissions: async ({ page, go }) => {
    await go('/databases/fruit/permissions');
    await page.locator('.label', { hasText: 'sensor 7' }).waitFor();
  },
  'Permissions with edits': async ({ page, go }) => {
    await go('/databases/fruit/permissions');
    await page.getByLabel('Write for everyone').check();
    await page.getByLabel('Remove alice').click();
  },
  'Permissions, the review': async ({ page }) => {
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByText('becomes writable').waitFor();
  },
  'Permissions, a new key': async ({ page }) => {
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Discard' }).click();
    await page.getByRole('button', { name: 'Generate API key' }).click();
    await page.getByText('Roles on fruit').waitFor();
  },
  'Permissions of a database that CouchDB decides about': async ({ page, go }) => {
    await page.keyboard.press('Escape');
    await go('/databases/orders/permissions');
    await page.getByLabel('Members: names').waitFor();
  },
  'Permissions that cannot be read': async ({ page, go }) => {
    await go('/databases/none/permissions');
    await page.getByText('The permissions cannot be read').waitFor();
  },
  'Permissions with prefix grants': async ({ page, go }) => {
    await go('/databases/nuts/permissions');
    await page.getByRole('heading', { name: 'Also by prefix grants' }).waitFor();
  },
  'Test access, refused': async ({ page, go }) => {
    await go('/databases/fruit/permissions?show=test&name=alice&do=other&method=PUT&path=%2Ffruit%2Fapple');
    await page.getByRole('button', { name: 'Grant Write to alice' }).waitFor();
    await page.getByText('In the words of the access log').click();
  },
  'Test access, allowed': async ({ page, go }) => {
    await go('/databases/nuts/permissions?show=test&name=alice&do=write');
    await page.getByText('Yes, this is allowed').waitFor();
  },
  Grants: async ({ page, go }) => {
    await go('/grants');
    await page.getByRole('button', { name: /^Remove the monitor/ }).waitFor();
    await page.getByRole('button', { name: /^Remove the grant/ }).waitFor();
  },
  'Grants, the dialog that adds one': async ({ page }) => {
    await page.getByRole('button', { name: 'Add prefix grant' }).click();
    await page.getByRole('checkbox', { name: 'Admin' }).check();
    await page.getByLabel('May create such databases').check();
    await page.getByText('I know: this name can take').waitFor();
  },
  'API keys': async ({ page, go }) => {
    await page.keyboard.press('Escape');
    await go('/keys');
    await page.locator('.label', { hasText: 'sensor 7' }).waitFor();
  },
  'API keys, the menu': async ({ page }) => {
    await page.getByRole('button', { name: 'Actions on the key sensor 7' }).click();
    await page.getByRole('menuitem', { name: 'Revoke' }).waitFor();
  },
  'API keys, the rotation': async ({ page }) => {
    await page.getByRole('menuitem', { name: 'Rotate' }).click();
    await page.getByText('The old password ends').waitFor();
  },
  'One key': async ({ page, go }) => {
    await page.keyboard.press('Escape');
    await go('/keys');
    await page.locator('tr', { hasText: 'sensor 7' }).getByRole('link').click();
    await page.getByRole('heading', { name: 'sensor 7' }).waitFor();
  },
  Documents: async ({ page, go }) => {
    await go('/databases/fruit/documents');
    await page.getByRole('link', { name: 'apple' }).waitFor();
  },
  'A document': async ({ page, go }) => {
    await go('/databases/fruit/documents/apple');
    await page.locator('.cm-content').waitFor();
  },
  'A document, two revisions': async ({ page, go }) => {
    await go(`/databases/fruit/documents/apple?show=revisions&compare=${CONFLICT}`);
    await page.locator('.cm-mergeView').waitFor();
  },
  'A document, its attachments': async ({ page, go }) => {
    await go('/databases/fruit/documents/apple?show=attachments');
    await page.getByRole('button', { name: 'Download a.html' }).waitFor();
  },
  'A new document': async ({ page, go }) => {
    await go('/databases/fruit/documents/');
    await fillEditor(page.locator('.cm-content'), '{ wrong');
    await page.getByText('JSON').first().waitFor();
    await fillEditor(page.locator('.cm-content'), '{\n  \n}');
  },
  Users: async ({ page, go }) => {
    await go('/users');
    await page.getByRole('link', { name: 'alice' }).waitFor();
  },
  'Users, the dialog that creates one': async ({ page }) => {
    await page.getByRole('button', { name: 'Create user' }).click();
    await page.getByRole('textbox', { name: 'Password' }).waitFor();
  },
  'One user': async ({ page, go }) => {
    await page.keyboard.press('Escape');
    await go('/users/alice');
    await page.getByRole('row', { name: 'fruit' }).waitFor();
  },
  'Access log': async ({ page, go }) => {
    await go('/log?operation=key');
    await page
      .getByRole('button', { name: /^More about/ })
      .first()
      .click();
    await page.getByText('All of this name').waitFor();
  },
  'Backups, switched off': async ({ page, go }) => {
    await go('/backups');
    await page.getByText('Backups are off.').waitFor();
  },
  CORS: async ({ page, go }) => {
    await go('/cors?origin=https%3A%2F%2Fapp.example.org&method=PUT');
    await page.getByText('The browser blocks it').waitFor();
  },
  Addresses: async ({ page, go }) => {
    await go('/addresses?address=192.0.2.7');
    await page.getByText('It may use Couchgate').waitFor();
  },
  Cluster: async ({ page, go }) => {
    await go('/cluster');
    await page.getByText('All is well').waitFor();
    await page.getByRole('button', { name: 'Check the settings' }).click();
    await page.getByRole('heading', { name: 'Disks of this server' }).waitFor();
  },
  Account: async ({ page, go }) => {
    await go('/account');
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
  },
  'No such page': async ({ page, go }) => {
    await go('/nothing/here');
    await page.getByRole('heading', { name: 'No such page' }).waitFor();
  },
};

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}

/** What is wrong with the page in any shape, in words. The page is left in the first one. */
async function faultsOf(page: Page, where: string): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const { colorScheme, width, height, rules } of SHAPES) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    // The page takes the theme in an event of its own.
    await page.locator(`html[data-mantine-color-scheme=${colorScheme}]`).waitFor();
    const options = {
      resultTypes: ['violations'],
      ...(rules === undefined ? {} : { runOnly: { type: 'rule', values: rules } }),
    };
    const found: readonly Violation[] = await page.evaluate(
      `axe.run(document, ${JSON.stringify(options)}).then(({ violations }) => violations)`,
    );
    const overflow = Number(await page.evaluate('document.documentElement.scrollWidth - window.innerWidth'));
    const shape = `${where}, ${colorScheme}, ${width} px`;
    faults.push(
      ...found.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${shape}: ${id}: ${html.slice(0, 160)}`)),
      ...(overflow > 0 ? [`${shape}: ${overflow} pixels too wide`] : []),
    );
  }
  const [first] = SHAPES;
  await page.setViewportSize({ width: first.width, height: first.height });
  await page.emulateMedia({ colorScheme: first.colorScheme });
  return faults;
}

describe('the dashboard for everybody', { skip: NO_BROWSER }, () => {
  let gate: Couchgate;
  let browser: Browser;
  before(async () => {
    gate = await startCouchgate({ settings: { enableCors: true, origins: ['https://app.example.com'] } });
    const as = gate.owner;
    const { body } = await gate.ask('POST', '/_api/v2/api_keys', { as, body: { label: 'sensor 7' } });
    const { key = '' } = body as { key?: string };
    await gate.database('fruit', { nobody: ['_reader'], alice: ['_reader'], [key]: ['_writer'] });
    await gate.ask('PUT', '/_users', { as });
    const alice = { name: 'alice', password: 'wonderland', roles: ['staff'], type: 'user' };
    await gate.ask('PUT', '/_users/org.couchdb.user:alice', { as, body: alice });
    await gate.database('nuts', { alice: ['_admin'] });
    const prefixGrant = { principal: key, databases: 'nut*', roles: ['_reader'] };
    await gate.ask('PUT', '/_api/v2/prefix_grants/nuts', { as, body: prefixGrant });
    await gate.ask('PUT', `/_api/v2/server_grants/${key}`, { as, body: { roles: ['_monitor'] } });
    await gate.database('orders', {});
    const rules = { couchdb_auth_only: true, members: { names: ['carol'], roles: [] } };
    await gate.ask('PUT', '/orders/_security', { as, body: rules });
    const _attachments = { 'a.html': { content_type: 'text/html', data: 'PGgxPmhpPC9oMT4=' } };
    await gate.ask('PUT', '/fruit/apple', { as, body: { colour: 'red', _attachments } });
    const docs = [{ _id: 'apple', _rev: CONFLICT, colour: 'green' }];
    await gate.ask('POST', '/fruit/_bulk_docs', { as, body: { docs, new_edits: false } });
    browser = await startBrowser();
  });
  after(async () => {
    await browser.close();
    await gate.close();
  });

  it('has no violation of the rules of axe, in any state and shape', async () => {
    const context = await browser.newContext({ deviceScaleFactor: DOTS });
    const dashboard = await openDashboard(browser, gate, { context });
    const { page } = dashboard;
    assert.equal(await page.evaluate('devicePixelRatio'), DOTS);
    dashboard.expectRefusal(/^404 \/_api\/v2\/db\/none\/_security$/);
    // Through the protocol of the browser, so that the policy of the page stays as it is.
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.evaluate(AXE);
    const faults = [...(await faultsOf(page, 'Sign in'))];
    await signIn(page, gate.owner);
    await page.getByRole('heading', { name: 'Databases' }).waitFor();
    for (const [where, show] of Object.entries(SHOWN)) {
      await show(dashboard);
      faults.push(...(await faultsOf(page, where)));
    }
    assert.deepEqual(faults, []);
    assert.deepEqual(dashboard.problems, []);
    await dashboard.close();
  });
});
