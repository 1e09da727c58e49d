// Backups in the dashboard: run, verify, restore a database, and bring a document back.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Dashboard, NO_BROWSER } from '../support/browser.ts';
import { dashboardSuite } from '../support/dashboard-suite.ts';
import { until } from '../support/until.ts';

describe('backups in the dashboard', { skip: NO_BROWSER }, () => {
  let folder: string;
  const suite = dashboardSuite(async () => {
    folder = await mkdtemp(join(tmpdir(), 'couchgate-backups-'));
    const backupRepository = join(folder, 'repository');
    return { settings: { backupRepository, backupKey: 'a key of a test with more than 32 characters' } };
  });

  before(async () => {
    await suite.gate.database('fruit', {});
    await suite.gate.ask('PUT', '/fruit/apple', { as: suite.gate.owner, body: { colour: 'green', size: 7 } });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function open(fragment: string): Promise<Dashboard> {
    const dashboard = await suite.open();
    await dashboard.page.getByRole('heading', { name: 'Databases' }).waitFor();
    await dashboard.go(fragment);
    return dashboard;
  }
  const apple = async (): Promise<Readonly<Record<string, unknown>>> =>
    (await suite.gate.ask('GET', '/fruit/apple', { as: suite.gate.owner })).body as Readonly<
      Record<string, unknown>
    >;
  const change = async (fields: Readonly<Record<string, unknown>>): Promise<void> => {
    const body = { _rev: (await apple())['_rev'], ...fields };
    assert.equal((await suite.gate.ask('PUT', '/fruit/apple', { as: suite.gate.owner, body })).status, 201);
  };

  const backUp = async (): Promise<void> => {
    const as = suite.gate.owner;
    const { body } = await suite.gate.ask('POST', '/_api/v2/backup/run', { as, body: {} });
    const { id } = body as { readonly id: string };
    await until(async () => {
      const { body: job } = await suite.gate.ask('GET', `/_api/v2/backup/jobs/${id}`, { as });
      return (job as { readonly state: string }).state === 'done';
    }, 'the backup is done');
  };

  it('run, are proven, and become a new database', async () => {
    const dashboard = await open('/backups');
    dashboard.expectRefusal(/^400 \/_api\/v2\/backup\/restore$/);
    const { page } = dashboard;
    await page.getByText('Nothing is backed up yet').waitFor();
    await page.getByRole('button', { name: 'Back up now' }).click();
    const row = page.locator('.backups tr', { hasText: 'fruit' });
    await row.getByText('never').waitFor();
    await page.locator('.jobs').getByText('done').first().waitFor();
    await page.getByText('1 database is done.').waitFor();
    await row.locator('[data-column=Added]', { hasText: /kB|B/ }).waitFor();
    await row.getByRole('button', { name: 'Actions on fruit' }).click();
    await page.getByRole('menuitem', { name: 'Verify by a test restore' }).click();
    await row.getByText('never').waitFor({ state: 'detached' });
    await page.getByText('Verification: done').waitFor();
    // A schedule of every hour makes more snapshots in a week than one answer has.
    await dashboard.context.route('**/snapshots?*', async (route) => {
      const isFirst = !route.request().url().includes('before=');
      if (isFirst) return route.fulfill({ json: { snapshots: [], before: 'x' } });
      const { body } = await suite.gate.ask('GET', '/_api/v2/backup/snapshots?database=fruit', {
        as: suite.gate.owner,
      });
      return route.fulfill({ json: body });
    });
    await row.getByRole('button', { name: 'Actions on fruit' }).click();
    await page.getByRole('menuitem', { name: 'Restore into a new database' }).click();
    await page.getByLabel('Name of the new database').fill('Wrong');
    await page.getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByText('The name of a database has lowercase letters').waitFor();
    await page.getByLabel('Name of the new database').fill('fruit-restored');
    await page.getByRole('button', { name: 'Restore', exact: true }).click();
    await page.locator('.jobs tr', { hasText: 'fruit-restored' }).getByText('done').waitFor();
    const outcome = page.getByRole('status').filter({ hasText: 'Restore: done' });
    assert.match(
      String(await outcome.getByRole('link', { name: 'fruit-restored' }).getAttribute('href')),
      /fruit-restored\/permissions$/,
    );
    await page.getByText('Not backed up yet: fruit-restored.').waitFor();
    await page.getByLabel('Search by name').fill('nuts');
    await page.getByText('No database matches.').waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await row.first().waitFor();
    const { body } = await suite.gate.ask('GET', '/fruit-restored/apple', { as: suite.gate.owner });
    assert.equal((body as { colour: string }).colour, 'green');
    await page.getByRole('link', { name: 'Databases', exact: true }).click();
    await page
      .locator('tr', { hasText: 'fruit' })
      .first()
      .getByText(/ago|just now/)
      .waitFor();
    await page.getByRole('button', { name: 'More actions on fruit-restored' }).click();
    await page.getByRole('menuitem', { name: 'Delete database' }).click();
    await page.getByText('There is no complete backup of it: this cannot be undone.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    // The focus is where it was.
    await page.waitForFunction(
      'document.activeElement.getAttribute("aria-label") === "More actions on fruit-restored"',
    );
    await page.keyboard.press('Enter');
    await page.getByRole('menuitem', { name: 'Back up or restore' }).and(page.locator(':focus')).waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByText('is deleted with').waitFor();
  });

  it('bring a document back, and write over nothing that is newer', async () => {
    await change({ colour: 'red' });
    const dashboard = await open('/databases/fruit/documents/apple');
    dashboard.expectRefusal(/^409 \/_api\/v2\/backup\/documents\/fruit\/apple\/restore$/);
    const { page } = dashboard;
    const views = page.getByRole('navigation', { name: 'Views of the document' });
    await views.getByRole('link', { name: 'Backups' }).click();
    await page.locator('.cm-merge-a').getByText('"green"').waitFor();
    await page.locator('.cm-merge-b').getByText('"red"').waitFor();
    await page.getByText('removed or changed since the backup').waitFor();
    await change({ colour: 'blue' });
    await page.getByRole('button', { name: 'Restore this version' }).click();
    await page.getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByText('Somebody has changed the document meanwhile').waitFor();
    assert.equal((await apple())['colour'], 'blue');
    await page.locator('.cm-merge-b').getByText('"blue"').waitFor();
    await page.getByRole('button', { name: 'Restore this version' }).click();
    await page.getByText('No backup has the version that it has now.').waitFor();
    await page.getByRole('button', { name: 'Restore', exact: true }).click();
    assert.equal(await page.getByText(/^Restored as/).textContent(), 'Restored as a new revision.');
    const { colour, size } = await apple();
    assert.deepEqual([colour, size], ['green', 7]);
    await backUp();
    await page.reload();
    await page.getByRole('button', { name: 'Restore this version' }).click();
    assert.equal(await page.getByText('No backup has the version').count(), 0);
    await page.getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByText('The version before is still in the backups.').waitFor();
  });

  it('do not hide the database whose backups fail, and say what could not be read', async () => {
    await suite.gate.database('nuts', {});
    const at = (day: number): string => new Date(Date.UTC(2026, 0, day)).toISOString();
    const backup = (database: string, last: string | null) => ({
      database,
      snapshots: 3,
      newest: { id: 'x', started: at(30), finished: at(30), complete: false, counts: {}, problem_count: 5 },
      last_success: last,
      verified_at: null,
    });
    const dashboard = await open('/databases');
    const { page } = dashboard;
    const databases = [backup('fruit', at(2)), backup('nuts', at(30)), backup('gone', at(1))];
    await page.route('**/_api/v2/backup', (route) =>
      route.fulfill({ json: { enabled: true, last_success: at(30), databases } }),
    );
    const problems = ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id, reason: `${id} is damaged` }));
    const result = {
      database: 'fruit',
      state: 'incomplete',
      problems: problems.slice(0, 4),
      problem_count: 5,
    };
    const counts = { done: 0, incomplete: 1, failed: 0 };
    const job = { id: 'j', kind: 'backup', state: 'incomplete', by: 'admin', created: at(30), request: {} };
    await page.route('**/_api/v2/backup/jobs', (route) =>
      route.fulfill({ json: { jobs: [{ ...job, databases: counts, results: [result] }] } }),
    );
    await dashboard.go('/backups');
    await page.getByText('The oldest of the last complete backups: fruit').waitFor();
    await page.getByText('1 of 2 databases is more than a day behind the newest.').waitFor();
    await page.getByText('c is damaged').waitFor();
    await page.getByText('and 2 more problems').waitFor();
    assert.equal(await page.getByText('d is damaged').count(), 0);
  });

  it('bring a deleted document back', async () => {
    const rev = String((await apple())['_rev']);
    await suite.gate.ask('DELETE', `/fruit/apple?rev=${rev}`, { as: suite.gate.owner });
    const dashboard = await open('/databases/fruit/documents/apple');
    dashboard.expectRefusal(/^404 \/fruit\/apple$/);
    const { page } = dashboard;
    await page.getByText('This document was deleted.').waitFor();
    await page.getByRole('link', { name: 'Look for it in the backups' }).click();
    await page.locator('.cm-merge-a').getByText('"green"').waitFor();
    await page.getByRole('button', { name: 'Restore this version' }).click();
    await page.getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByText('Restored as a new revision.').waitFor();
    assert.equal((await apple())['colour'], 'green');
  });
});
