// Documents in the dashboard: find, create, edit, merge, compare, save attachments as files.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';
import { type Page } from 'playwright-core';
import { type Dashboard, fillEditor, NO_BROWSER } from '../support/browser.ts';
import { dashboardSuite } from '../support/dashboard-suite.ts';

describe('documents in the dashboard', { skip: NO_BROWSER }, () => {
  const suite = dashboardSuite();

  before(async () => {
    await suite.gate.database('fruit', {});
  });

  async function open(fragment: string): Promise<Dashboard> {
    const dashboard = await suite.open();
    await dashboard.page.getByRole('heading', { name: 'Databases' }).waitFor();
    await dashboard.go(fragment);
    return dashboard;
  }
  const put = async (id: string, body: unknown): Promise<void> => {
    const { status } = await suite.gate.ask('PUT', `/fruit/${id}`, { as: suite.gate.owner, body });
    assert.equal(status, 201);
  };
  /** A blue document, and a red revision that loses against it. */
  const putConflict = async (id: string, rev: string): Promise<void> => {
    await put(id, { colour: 'blue' });
    const docs = [{ _id: id, _rev: rev, colour: 'red' }];
    const body = { docs, new_edits: false };
    await suite.gate.ask('POST', '/fruit/_bulk_docs', { as: suite.gate.owner, body });
  };
  /** From now on the page cannot read the winning revision of the document. */
  const failReads = (page: Page, id: string): Promise<unknown> =>
    page.route(`**/fruit/${id}`, (route) =>
      route.request().method() === 'GET'
        ? route.fulfill({ status: 503, json: { error: 'service_unavailable', reason: 'CouchDB is away.' } })
        : route.continue(),
    );
  const stored = async (id: string): Promise<Readonly<Record<string, unknown>>> =>
    (await suite.gate.ask('GET', `/fruit/${id}`, { as: suite.gate.owner })).body as Readonly<
      Record<string, unknown>
    >;

  it('finds a document by the beginning of its id, and the next page by its link', async () => {
    const docs = Array.from({ length: 60 }, (_, at) => ({ _id: `list-${String(at).padStart(2, '0')}` }));
    await suite.gate.ask('POST', '/fruit/_bulk_docs', { as: suite.gate.owner, body: { docs } });
    const { page } = await open('/databases');
    await page.getByRole('link', { name: 'fruit', exact: true }).click();
    const paths: string[] = [];
    page.on('request', (request) => paths.push(request.url()));
    await page.getByLabel('Show ids that begin with').fill('list-');
    await page.getByRole('link', { name: 'list-49' }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'list-50' }).count(), 0);
    await page.getByRole('link', { name: 'Next page' }).click();
    await page.getByRole('link', { name: 'list-59' }).waitFor();
    assert.doesNotMatch(paths.join(' '), /list-/);
    await page.goBack();
    await page.getByRole('link', { name: 'list-00' }).click();
    await page.getByRole('heading', { name: 'list-00' }).waitFor();
  });

  it('creates and edits a document, and keeps its attachments and the digits of its numbers', async () => {
    const dashboard = await open('/databases/fruit/documents/');
    const { page } = dashboard;
    await page.getByLabel('Id', { exact: true }).fill('fig/1');
    const content = page.locator('.cm-content');
    await fillEditor(content, '{ "price": 12345678901234567890, "_rev": "1-x" }');
    await page.getByText('remove "_rev"').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Create document' }).isDisabled(), true);
    await fillEditor(content, '{ "price": 12345678901234567890 }');
    const [sent] = await Promise.all([
      page.waitForRequest((request) => request.method() === 'PUT'),
      page.getByRole('button', { name: 'Create document' }).click(),
    ]);
    assert.match(sent.postData() ?? '', /"price": 12345678901234567890/);
    await page.getByRole('heading', { name: 'fig/1' }).waitFor();
    await suite.gate.ask('PUT', `/fruit/fig%2F1/a.txt?rev=${String((await stored('fig%2F1'))['_rev'])}`, {
      as: suite.gate.owner,
      body: '"text"',
    });
    await page.reload();
    await page.getByText('Attachments (1)').waitFor();
    // The editor appears after the words around it, first without the document.
    await content.filter({ hasText: 'price' }).waitFor();
    await fillEditor(content, '{ "price": 3 }');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved as revision').waitFor();
    const { price, _attachments } = await stored('fig%2F1');
    assert.equal(price, 3);
    assert.deepEqual(Object.keys(_attachments as object), ['a.txt']);
  });

  it('shows what somebody else has saved meanwhile, and writes over nothing', async () => {
    await put('kiwi', { colour: 'green', size: 1 });
    const dashboard = await open('/databases/fruit/documents/kiwi');
    dashboard.expectRefusal(/^409 \/fruit\/kiwi$/);
    const { page } = dashboard;
    await fillEditor(page.locator('.cm-content'), '{ "colour": "gold", "size": 1 }');
    await put('kiwi', { _rev: (await stored('kiwi'))['_rev'], colour: 'green', size: 2 });
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { name: 'Somebody else has changed this document' }).waitFor();
    await page.locator('.cm-mergeView').getByText('"size": 2').waitFor();
    assert.equal((await stored('kiwi'))['colour'], 'green');
    await fillEditor(page.getByLabel('Yours'), '{ "colour": "gold", "size": 2 }');
    await page.getByRole('button', { name: 'Go on with mine' }).click();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved as revision').waitFor();
    const { colour, size } = await stored('kiwi');
    assert.deepEqual([colour, size], ['gold', 2]);
  });

  it('shows theirs after mine was dropped, and what was saved also if it cannot be read again', async () => {
    await put('lime', { colour: 'green' });
    const dashboard = await open('/databases/fruit/documents/lime');
    dashboard.expectRefusal(/^(?:409|503) \/fruit\/lime$/);
    const { page } = dashboard;
    const content = page.locator('.cm-content');
    await fillEditor(content, '{ "colour": "mine" }');
    await put('lime', { _rev: (await stored('lime'))['_rev'], colour: 'theirs' });
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: 'Drop mine, show theirs' }).click();
    await page.getByLabel('Content of the document').getByText('"theirs"').waitFor();
    await failReads(page, 'lime');
    await fillEditor(content, '{ "colour": "saved" }');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('The document cannot be read').waitFor();
    await page.getByText('Saved as revision').waitFor();
    assert.equal(await content.textContent(), '{ "colour": "saved" }');
    assert.equal((await stored('lime'))['colour'], 'saved');
  });

  it('loses no edits when the document cannot be read again', async () => {
    const rev = `1-${'0'.repeat(32)}`;
    await putConflict('pear', rev);
    const dashboard = await open('/databases/fruit/documents/pear');
    dashboard.expectRefusal(/^503 \/fruit\/pear$/);
    const { page } = dashboard;
    await fillEditor(page.locator('.cm-content'), '{ "colour": "mine" }');
    await page.getByRole('link', { name: 'Revisions' }).click();
    await failReads(page, 'pear');
    await page.getByRole('button', { name: `Remove the conflict ${rev}` }).click();
    await page.getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByText('The document cannot be read').waitFor();
    await page.getByRole('link', { name: 'Content' }).click();
    await page.locator('.cm-content').getByText('"mine"').waitFor();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved as revision').waitFor();
    assert.equal((await stored('pear'))['colour'], 'mine');
  });

  it('loses no edits when the script of the comparison cannot be read', async () => {
    const rev = `1-${'0'.repeat(32)}`;
    await putConflict('fig', rev);
    const dashboard = await open('/databases/fruit/documents/fig');
    dashboard.expectRefusal(/^404 .*json-compare/);
    dashboard.expectMessage(/Failed to fetch dynamically imported module/);
    const { page } = dashboard;
    await fillEditor(page.locator('.cm-content'), '{ "colour": "mine" }');
    await page.route('**/json-compare*.js', (route) => route.fulfill({ status: 404 }));
    await page.getByRole('link', { name: 'Revisions' }).click();
    await page.getByRole('link', { name: `Compare ${rev}` }).click();
    await page.getByText('Couchgate did not send the comparison').waitFor();
    await page.getByRole('link', { name: 'Content' }).click();
    await page.locator('.cm-content').getByText('"mine"').waitFor();
  });

  it('says that a conflict takes the place of a deleted revision, and shows it', async () => {
    await putConflict('date', `1-${'0'.repeat(32)}`);
    const { page } = await open('/databases/fruit/documents/date');
    await page.getByRole('button', { name: 'Delete document…' }).click();
    await page.getByText('the revision in conflict with it becomes the document').waitFor();
    await page.getByRole('button', { name: 'Delete this revision' }).click();
    await page.locator('.cm-content').getByText('"red"').waitFor();
    await page.getByRole('button', { name: 'Delete document…' }).click();
    await page.getByText('is deleted in this database').waitFor();
    await page.getByRole('button', { name: 'Delete document', exact: true }).click();
    await page.getByRole('link', { name: 'Create document' }).waitFor();
    assert.equal((await suite.gate.ask('GET', '/fruit/date', { as: suite.gate.owner })).status, 404);
  });

  it('compares a conflict with the winning revision, and removes it', async () => {
    const rev = `1-${'0'.repeat(32)}`;
    await putConflict('plum', rev);
    const { page } = await open('/databases/fruit/documents/plum');
    await page.getByRole('link', { name: 'Revisions' }).click();
    await page.getByRole('heading', { name: 'One revision is in conflict' }).waitFor();
    await page.getByRole('link', { name: `Compare ${rev}` }).click();
    await page.locator('.cm-merge-a').getByText('"red"').waitFor();
    await page.locator('.cm-merge-b').getByText('"blue"').waitFor();
    await page.getByRole('button', { name: `Remove the conflict ${rev}` }).click();
    await page.getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByRole('heading', { name: 'One revision is in conflict' }).waitFor({ state: 'detached' });
    const { body } = await suite.gate.ask('GET', '/fruit/plum?conflicts=true', { as: suite.gate.owner });
    assert.equal('_conflicts' in (body as object), false);
  });

  it('saves an attachment as a file, without opening it', async () => {
    const html = '<script>document.title = "opened"</script>';
    const data = Buffer.from(html).toString('base64');
    await put('site', { _attachments: { 'a.html': { content_type: 'text/html', data } } });
    const { page, context } = await open('/databases/fruit/documents/site?show=attachments');
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download a.html' }).click(),
    ]);
    assert.equal(download.suggestedFilename(), 'a.html');
    assert.equal(await readFile(await download.path(), 'utf8'), html);
    assert.equal(context.pages().length, 1);
    assert.equal(await page.title(), 'site – Couchgate');
  });

  it('shows a document whose id browsers cannot send, and says why it is read-only', async () => {
    await suite.gate.ask('POST', '/fruit/_bulk_docs', {
      as: suite.gate.owner,
      body: { docs: [{ _id: '..', secret: 7 }] },
    });
    const { page } = await open('/databases/fruit/documents/..');
    await page.getByText('Browsers cannot send the id').waitFor();
    await page.locator('.cm-content').getByText('"secret": 7').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Save' }).count(), 0);
  });

  it('says that a document is missing or deleted, and offers to create it', async () => {
    const dashboard = await open('/databases/fruit/documents/none');
    dashboard.expectRefusal(/^404 \/fruit\/none$/);
    const { page } = dashboard;
    await page.getByText('There is no document with this id').waitFor();
    await page.getByRole('link', { name: 'Create a document with this id' }).click();
    assert.equal(await page.getByLabel('Id', { exact: true }).inputValue(), 'none');
  });
});
