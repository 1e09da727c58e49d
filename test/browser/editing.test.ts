// Two people edit the permissions of one database, and one person edits by keyboard alone.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Page } from 'playwright-core';
import { type Dashboard, NO_BROWSER, readAgain, signIn } from '../support/browser.ts';
import { dashboardSuite } from '../support/dashboard-suite.ts';

describe('the permissions of a database', { skip: NO_BROWSER }, () => {
  const suite = dashboardSuite();

  async function permissionsOf(database: string): Promise<Dashboard> {
    const dashboard = await suite.open();
    await dashboard.go(`/databases/${database}/permissions`);
    await dashboard.page.getByRole('heading', { name: `Permissions of ${database}` }).waitFor();
    await dashboard.page.getByRole('table').waitFor();
    return dashboard;
  }
  async function save(page: Page): Promise<void> {
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
  }
  const grantsOf = async (database: string): Promise<unknown> => {
    const { body } = await suite.gate.ask('GET', `/${database}/_security`, { as: suite.gate.owner });
    return (body as { cloudant?: unknown }).cloudant;
  };

  it('show theirs beside mine when both changed a row, and save what is chosen', async () => {
    await suite.gate.database('contested', { a: ['_reader'], b: ['_reader'], c: ['_reader'] });
    const [mine, theirs] = [await permissionsOf('contested'), await permissionsOf('contested')];
    await mine.page.getByLabel('Write for a', { exact: true }).check();
    await mine.page.getByLabel('Write for b', { exact: true }).check();
    await theirs.page.getByLabel('Admin for a', { exact: true }).check();
    await theirs.page.getByLabel('Remove c from this database').click();
    await save(theirs.page);
    await theirs.page.getByText('Saved. It is in force now.').waitFor();
    mine.expectRefusal(/^412 \/_api\/v2\/db\/contested\/_security$/);
    const { page } = mine;
    const reason = page.getByLabel('Reason');
    await page.getByRole('button', { name: 'Review and save' }).click();
    await reason.fill('why I did it');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByRole('heading', { name: 'Somebody else has saved' }).waitFor();
    // Nothing of mine was written over theirs.
    assert.deepEqual(await grantsOf('contested'), { a: ['_reader', '_admin'], b: ['_reader'] });
    assert.equal(await page.getByRole('button', { name: 'Review and save' }).isDisabled(), true);
    const row = page.getByRole('row', { name: 'Read, Admin' });
    assert.equal(await row.getByRole('radio').count(), 2);
    await row.getByLabel('Read, Write').check();
    await page.getByRole('button', { name: 'Go on with this choice' }).click();
    await page.getByRole('button', { name: 'Review and save' }).click();
    assert.equal(await reason.inputValue(), 'why I did it');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByText('Saved. It is in force now.').waitFor();
    assert.deepEqual(await grantsOf('contested'), { a: ['_reader', '_writer'], b: ['_reader', '_writer'] });
  });

  it('are not saved over a row that somebody else saves during the review', async () => {
    await suite.gate.database('reviewed', { a: ['_reader'] });
    const { page } = await permissionsOf('reviewed');
    await page.getByLabel('Write for a', { exact: true }).check();
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByLabel('Reason').fill('why I did it');
    await suite.gate.grant('reviewed', { a: ['_admin'] });
    await readAgain(page, /\/reviewed\/_security$/);
    await page.getByRole('dialog').getByText('Somebody else has saved').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Save', exact: true }).isDisabled(), true);
    assert.equal(await page.getByLabel('Reason').inputValue(), 'why I did it');
  });

  it('carry edits over when the other person changed other rows', async () => {
    await suite.gate.database('merged', { a: ['_reader'] });
    const mine = await permissionsOf('merged');
    mine.expectRefusal(/^412 \/_api\/v2\/db\/merged\/_security$/);
    await mine.page.getByLabel('Write for a', { exact: true }).check();
    await suite.gate.grant('merged', { a: ['_reader'], b: ['_reader'] });
    await save(mine.page);
    await mine.page.getByText('Somebody else has saved these permissions meanwhile.').waitFor();
    assert.deepEqual(await grantsOf('merged'), { a: ['_reader'], b: ['_reader'] });
    await save(mine.page);
    await mine.page.getByText('Saved. It is in force now.').waitFor();
    assert.deepEqual(await grantsOf('merged'), { a: ['_reader', '_writer'], b: ['_reader'] });
  });

  it('are not saved in the name of somebody who has signed in in another tab', async () => {
    const alice = { name: 'alice', password: 'a long password' };
    await suite.gate.ask('PUT', '/_users', { as: suite.gate.owner });
    await suite.gate.ask('PUT', '/_users/org.couchdb.user:alice', {
      as: suite.gate.owner,
      body: { ...alice, roles: [], type: 'user' },
    });
    await suite.gate.database('two-tabs', {});
    const mine = await permissionsOf('two-tabs');
    // Pages that have been read before ask again when they are shown, as alice.
    mine.expectRefusal(/^40[13] /);
    const { page, context } = mine;
    await page.getByLabel('Read for everyone without a password').check();
    const other = await context.newPage();
    const signOut = async (): Promise<void> => {
      await other.getByRole('link', { name: 'Account' }).click();
      await other.getByRole('button', { name: 'Sign out' }).click();
      await other.getByRole('heading', { name: 'Sign in' }).waitFor();
    };
    await other.goto(`${suite.gate.url}/_dashboard/`);
    // The session is hers also if the answer that says so is lost.
    await other.route('**/_session', (route) =>
      route.request().method() === 'GET' ? route.abort() : route.continue(),
    );
    await signOut();
    await signIn(other, alice);
    await page.getByRole('dialog', { name: 'Somebody else has signed in' }).waitFor();
    await other.unrouteAll();
    await other.reload();
    await signOut();
    await signIn(other, suite.gate.owner);
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await save(page);
    await page.getByText('Saved. It is in force now.').waitFor();
    assert.deepEqual(await grantsOf('two-tabs'), { nobody: ['_reader'] });
    await other.close();
  });

  it('keep the edits when a save fails, and say why with the request id', async () => {
    await suite.gate.database('failing', { a: ['_reader'] });
    const dashboard = await permissionsOf('failing');
    dashboard.expectRefusal(/^503 \/_api\/v2\/db\/failing\/_security$/);
    const { page } = dashboard;
    await page.getByLabel('Write for a', { exact: true }).check();
    await page.route('**/_security', (route) =>
      route.request().method() === 'PUT'
        ? route.fulfill({
            status: 503,
            headers: { 'X-Couch-Request-ID': 'id-of-the-test' },
            json: { error: 'service_unavailable', reason: 'CouchDB is away.' },
          })
        : route.continue(),
    );
    await save(page);
    await page.getByText('The permissions were not saved').waitFor();
    await page.getByText('CouchDB is away.').waitFor();
    await page.getByText('id-of-the-test').waitFor();
    await page.unroute('**/_security');
    // What was saved is shown, also if it cannot be read again.
    await page.route('**/_security', (route) =>
      route.request().method() === 'GET'
        ? route.fulfill({ status: 503, json: { error: 'service_unavailable', reason: 'Away again.' } })
        : route.continue(),
    );
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByText('Saved. It is in force now.').waitFor();
    await page.getByText('Away again.').waitFor();
    assert.equal(await page.getByLabel('Write for a', { exact: true }).isChecked(), true);
    assert.deepEqual(await grantsOf('failing'), { a: ['_reader', '_writer'] });
  });

  it('keep the edits when an answer breaks off', async () => {
    await suite.gate.database('half', { a: ['_reader'] });
    const { page } = await permissionsOf('half');
    const box = page.getByLabel('Write for a', { exact: true });
    await box.check();
    await page.route('**/half/_security', (route) =>
      route.fulfill({ contentType: 'application/json', body: '{"cloudant":{"a":[' }),
    );
    await readAgain(page, /\/half\/_security$/);
    await page.getByText('The answer broke off.').waitFor();
    assert.equal(await box.isChecked(), true);
    await page.unrouteAll();
  });

  it('have a history, and roll back only after what it widens was confirmed', async () => {
    await suite.gate.database('past', { nobody: ['_reader'], a: ['_reader'] });
    const dashboard = await permissionsOf('past');
    dashboard.expectRefusal(/^409 \/_api\/v2\/db\/past\/_security\/rollback$/);
    const { page } = dashboard;
    await page.getByLabel('Read for everyone without a password').uncheck();
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByLabel('Reason').fill('<b>closed</b> – Müller');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByText('Saved. It is in force now.').waitFor();
    await page.getByRole('link', { name: 'History' }).click();
    await page.getByText('<b>closed</b> – Müller').waitFor();
    const rollBacks = page.getByRole('button', { name: 'Roll back to this' });
    await rollBacks.first().waitFor();
    // Not to what is in force.
    const entries = await page.locator('.history > li').count();
    assert.equal(await rollBacks.count(), entries - 1);
    await rollBacks.first().click();
    await page.getByRole('button', { name: 'Roll back', exact: true }).click();
    await page.getByText('That opens the database to everyone without a password.').waitFor();
    assert.deepEqual(await grantsOf('past'), { a: ['_reader'] });
    await page.getByRole('button', { name: 'Roll back anyway' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.deepEqual(await grantsOf('past'), { a: ['_reader'], nobody: ['_reader'] });
    await page.goBack();
    await page.getByText('This database is public.').waitFor();
  });

  it('are asked about by keyboard alone', async () => {
    await suite.gate.database('typed', {});
    const { page, go } = await suite.open();
    await page.getByRole('heading', { name: 'Databases' }).waitFor();
    await go('/databases/typed/permissions?show=test');
    const press = (key: string) => page.keyboard.press(key);
    await page.getByRole('combobox', { name: 'Who' }).focus();
    await page.keyboard.type('nobody');
    await press('Escape');
    await press('Tab');
    await page.keyboard.type('write a d');
    await press('Tab');
    await press('Enter');
    await page.getByText('No, this is refused with 401').waitFor();
    // The focus is where it was.
    await press('Tab');
    await press('Enter');
    await page.getByText('The role is among your unsaved changes.').waitFor();
    await page.getByRole('button', { name: 'Review and save' }).waitFor();
  });

  it('are edited by keyboard alone', async () => {
    await suite.gate.database('keyboard', { a: ['_reader'] });
    const { page } = await permissionsOf('keyboard');
    const focused = (): Promise<string> =>
      page.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent",
      );
    const tabTo = async (label: string): Promise<void> => {
      for (let steps = 0; (await focused()) !== label; steps += 1) {
        assert.ok(steps < 60, `Tab does not reach ${label}`);
        await page.keyboard.press('Tab');
      }
    };
    await tabTo('Read for everyone without a password');
    await page.keyboard.press('Space');
    for (const [key, label] of [
      ['ArrowRight', 'Write for everyone without a password'],
      ['ArrowDown', 'Write for a'],
      ['ArrowLeft', 'Read for a'],
      ['ArrowUp', 'Read for everyone without a password'],
    ] as const) {
      await page.keyboard.press(key);
      assert.equal(await focused(), label);
    }
    await tabTo('Remove a from this database');
    await page.keyboard.press('Enter');
    await tabTo('Review and save');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await tabTo('Save');
    await page.keyboard.press('Enter');
    await page.getByText('Saved. It is in force now.').waitFor();
    assert.deepEqual(await grantsOf('keyboard'), { nobody: ['_reader'] });
  });
});
