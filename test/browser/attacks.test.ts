// H28 in Chromium: what others have stored, pages beside the dashboard, and pages of other sites get nowhere.
import assert from 'node:assert/strict';
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { type Dashboard, NO_BROWSER, openDashboard } from '../support/browser.ts';
import { startCouchgate } from '../support/couchgate.ts';
import { dashboardSuite } from '../support/dashboard-suite.ts';

/** Tries every way to the API that a script has, and reports the names of those that told it something. */
const THIEF = `(async () => {
  const told = [];
  const attempt = async (what, headers, method = 'GET', path = '/_all_dbs') => {
    try {
      const answer = await fetch(ORIGIN + path, { method, headers, credentials: 'include' });
      if (answer.ok) told.push(what);
    } catch {}
  };
  await attempt('header', { 'X-Couchgate-Dashboard': '1' });
  await attempt('no header', {});
  await attempt('key', { 'X-Couchgate-Dashboard': '1' }, 'POST', '/_api/v2/api_keys');
  try { if (document.cookie !== '') told.push('cookie'); } catch {}
  try { if (window.opener && window.opener.document.body) told.push('opener'); } catch {}
  try {
    const frame = document.createElement('iframe');
    frame.src = ORIGIN + '/_dashboard/';
    document.body.append(frame);
    await new Promise((done) => { frame.onload = done; setTimeout(done, 1500); });
    if (frame.contentDocument && frame.contentDocument.getElementById('root')) told.push('frame');
  } catch {}
  document.title = 'told: ' + told.join();
})()`;

const thiefPage = (origin: string): string =>
  `<!doctype html><body><script>${THIEF.replaceAll('ORIGIN', JSON.stringify(origin))}</script>`;

/** Texts that a page must show as they are. Each would set \`hacked\` if it were taken for markup. */
const HOSTILE: readonly (readonly [what: string, text: string])[] = [
  ['an image', '<img src=x onerror="window.hacked=1">'],
  ['a script', '</script><script>window.hacked=1</script>'],
  ['an attribute', '" autofocus onfocus="window.hacked=1" x="'],
  ['a link', 'javascript:window.hacked=1'],
  ['a template', '{{constructor.constructor("window.hacked=1")()}}'],
  ['a reordered name', 'admin\u202egnp.exe'],
  ['a long one', 'x'.repeat(256)],
];

/** What cannot be seen is shown by its code point. */
const shown = (text: string): string => text.replace('\u202e', '⟨U+202E⟩');

describe('H28: an attacker of the dashboard', { skip: NO_BROWSER }, () => {
  const suite = dashboardSuite();
  async function open(): Promise<Dashboard> {
    const dashboard = await suite.open();
    await dashboard.page.getByRole('heading', { name: 'Databases' }).waitFor();
    return dashboard;
  }

  it('has text shown as text, as a name, a label and a search', async () => {
    await suite.gate.database('stored', Object.fromEntries(HOSTILE.map(([, text]) => [text, ['_reader']])));
    const keys = new Map<string, string>();
    for (const [what, label] of HOSTILE) {
      const { body } = await suite.gate.ask('POST', '/_api/v2/api_keys', {
        as: suite.gate.owner,
        body: { label },
      });
      keys.set(what, (body as { readonly key: string }).key);
    }
    const dashboard = await open();
    // The tab Test access asks whether a name is a key.
    dashboard.expectRefusal(/^404 \/_api\/v2\/api_keys\//);
    const { page, go } = dashboard;
    await go('/databases/stored/permissions');
    for (const [what, text] of HOSTILE) {
      const row = page
        .locator('tr')
        .filter({ has: page.locator('.name').getByText(shown(text), { exact: true }) });
      await row.getByRole('checkbox').first().uncheck();
      assert.equal(await row.count(), 1, what);
    }
    await page.getByRole('button', { name: 'Review and save' }).click();
    for (const [, text] of HOSTILE)
      await page.getByRole('dialog').locator('.name').getByText(shown(text), { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Go on editing' }).click();
    await page.getByRole('button', { name: 'Discard' }).click();
    const typed = (text: string) =>
      `show=test&name=${encodeURIComponent(text)}&do=other&path=${encodeURIComponent(text)}`;
    for (const [, text] of HOSTILE) {
      await go(`/databases/stored/permissions?${typed(text)}`);
      // Not every text is the target of a request; the refusal then names the problem.
      await page
        .getByText(/No API key and no user has this name|This cannot be answered|malformed/)
        .first()
        .waitFor();
    }
    for (const [, text] of HOSTILE) {
      const principal = { principal: text, databases: 'stored*', roles: ['_reader'] };
      await suite.gate.ask('PUT', '/_api/v2/prefix_grants/hostile', {
        as: suite.gate.owner,
        body: principal,
      });
      await suite.gate.ask('PUT', `/_api/v2/server_grants/${encodeURIComponent(text)}`, {
        as: suite.gate.owner,
        body: { roles: ['_monitor'] },
      });
      await page.reload();
      await go('/databases/stored/permissions');
      await page.locator('section .name').getByText(shown(text), { exact: true }).waitFor();
      await go('/grants');
      assert.equal(
        (await page.locator('section .name').getByText(shown(text), { exact: true }).count()) <= 2,
        true,
      );
      await page.getByRole('listitem').locator('.name').getByText(shown(text), { exact: true }).waitFor();
    }
    for (const [what, text] of HOSTILE) {
      await go('/keys');
      await page.locator('.label').getByText(shown(text), { exact: true }).waitFor();
      await go(`/keys/${keys.get(what) ?? ''}`);
      await page.getByRole('heading', { name: shown(text), exact: true }).waitFor();
      await go(`/databases?q=${encodeURIComponent(text)}`);
      await page.getByText('No name contains').waitFor();
      await go(`/keys/${encodeURIComponent(text)}`);
      await page.getByText('does not exist, or was revoked').waitFor();
    }
    assert.equal(await page.evaluate('window.hacked'), undefined);
  });

  it('has text shown as text in documents and users: ids, content, attachments, names', async () => {
    await suite.gate.database('texts', {});
    await suite.gate.ask('PUT', '/_users', { as: suite.gate.owner });
    // CouchDB allows no colon in a name.
    const users = HOSTILE.map(([, text]) => text.replaceAll(':', ';'));
    for (const name of users) {
      const body = { name, password: 'long enough', roles: [name.slice(0, 20)], type: 'user' };
      const path = `/_users/${encodeURIComponent(`org.couchdb.user:${name}`)}`;
      assert.equal((await suite.gate.ask('PUT', path, { as: suite.gate.owner, body })).status, 201, name);
    }
    for (const [, text] of HOSTILE) {
      const data = Buffer.from(text).toString('base64');
      const _attachments = {
        [`${text}.html`.replaceAll('/', '-')]: { content_type: text.slice(0, 60), data },
      };
      const body = { [text]: text, _attachments };
      const path = `/texts/${encodeURIComponent(text)}`;
      const { status } = await suite.gate.ask('PUT', path, { as: suite.gate.owner, body });
      assert.equal(status, 201, text);
    }
    const { page, go } = await open();
    await go('/databases/texts/documents');
    for (const [, text] of HOSTILE)
      await page.locator('.name').getByText(shown(text), { exact: true }).waitFor();
    for (const [, text] of HOSTILE) {
      await go(`/databases/texts/documents/${encodeURIComponent(text)}`);
      await page.getByRole('heading', { name: shown(text), exact: true }).waitFor();
      await page.locator('.cm-line').nth(1).waitFor();
      await go(`/databases/texts/documents/${encodeURIComponent(text)}?show=attachments`);
      await page.getByRole('button', { name: 'Download' }).waitFor();
    }
    await go('/users');
    for (const name of users) await page.getByRole('link').getByText(shown(name), { exact: true }).waitFor();
    for (const name of users) {
      await go(`/users/${encodeURIComponent(name)}`);
      await page.getByRole('heading', { name: shown(name), exact: true }).waitFor();
    }
    assert.equal(await page.evaluate('window.hacked'), undefined);
  });

  it('gets nothing by a page that is stored on the same origin', async () => {
    await suite.gate.database('pages', { nobody: ['_reader'] });
    const data = Buffer.from(thiefPage(suite.gate.url)).toString('base64');
    const svg = Buffer.from(
      `<svg xmlns="http://www.w3.org/2000/svg"><script>document.title='told: svg'</script></svg>`,
    ).toString('base64');
    const _attachments = {
      'a.html': { content_type: 'text/html', data },
      'a.svg': { content_type: 'image/svg+xml', data: svg },
    };
    const put = await suite.gate.ask('PUT', '/pages/site', { as: suite.gate.owner, body: { _attachments } });
    assert.equal(put.status, 201);
    const { context } = await open();
    for (const path of ['/pages/site/a.html', '/pages/site/a.svg']) {
      const stored = await context.newPage();
      await stored.goto(suite.gate.url + path);
      // The sandbox runs no script at all.
      assert.equal(await stored.title(), '');
      await stored.close();
    }
  });

  it('gets nothing by a page of another site or port, even one that CORS lists', async () => {
    let target = '';
    const site = http.createServer((_req, res) => {
      res.writeHead(200, { 'content-type': 'text/html' }).end(thiefPage(target));
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    const { port } = site.address() as AddressInfo;
    // The same host has the same site: SameSite does not hold the cookie back.
    const origins = [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
    const listed = await startCouchgate({ settings: { enableCors: true, allowCredentials: true, origins } });
    target = listed.url;
    const dashboard = await openDashboard(suite.browser, listed, { as: listed.owner });
    await dashboard.page.getByRole('heading', { name: 'Databases' }).waitFor();
    for (const origin of origins) {
      const page = await dashboard.context.newPage();
      await page.goto(origin);
      await page.waitForFunction("document.title.startsWith('told')");
      assert.equal(await page.title(), 'told:', origin);
      await page.close();
    }
    await dashboard.close();
    await listed.close();
    site.closeAllConnections();
    site.close();
  });

  it('gets no permission changed by a link that names them as a document', async () => {
    await suite.gate.database('linked', { ann: ['_reader'] });
    const { page, go } = await open();
    await go('/databases/linked/documents/?id=_security');
    await page.getByText('No document can have this id').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Create document' }).isDisabled(), true);
    await go('/databases/linked/documents/_security');
    await page.getByRole('alert').getByText('No document can have this id').waitFor();
    // A browser would send it to the server itself.
    await go('/databases/./documents/?id=dotted');
    await page.getByRole('button', { name: 'Create document' }).click();
    await page.getByText('No path can have the part').waitFor();
    const { body } = await suite.gate.ask('GET', '/linked/_security', { as: suite.gate.owner });
    assert.deepEqual((body as { cloudant?: unknown }).cloudant, { ann: ['_reader'] });
  });

  it('gets nothing by an address that the person opens: documents, keys, databases', async () => {
    await suite.gate.database('private', {});
    await suite.gate.ask('PUT', '/private/doc', { as: suite.gate.owner, body: { secret: true } });
    const { context } = await open();
    const page = await context.newPage();
    for (const path of ['/_all_dbs', '/private/doc', '/_api/v2/api_keys', '/private/_security']) {
      const answer = await page.goto(suite.gate.url + path);
      assert.equal(answer?.status(), 401, path);
    }
    await page.close();
  });
});
