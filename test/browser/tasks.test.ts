// What a person who comes from Cloudant does in the dashboard, in Chromium, checked at the API.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type Route } from 'playwright-core';
import { type Dashboard, holdRequests, NO_BROWSER, readAgain, signIn } from '../support/browser.ts';
import { type Credentials } from '../support/couchgate.ts';
import { dashboardSuite } from '../support/dashboard-suite.ts';

describe('a person at the dashboard', { skip: NO_BROWSER }, () => {
  const suite = dashboardSuite();
  const alice: Credentials = { name: 'alice', password: 'wonder' };

  before(async () => {
    await suite.gate.ask('PUT', '/_users', { as: suite.gate.owner });
    const body = { ...alice, roles: [], type: 'user' };
    await suite.gate.ask('PUT', '/_users/org.couchdb.user:alice', { as: suite.gate.owner, body });
  });

  async function open(as: Credentials | undefined = suite.gate.owner): Promise<Dashboard> {
    const dashboard = await suite.open({ as });
    return dashboard;
  }
  async function permissionsOf(database: string): Promise<Dashboard> {
    const dashboard = await open();
    await dashboard.go(`/databases/${encodeURIComponent(database)}/permissions`);
    await dashboard.page.getByRole('heading', { name: `Permissions of ${database}` }).waitFor();
    return dashboard;
  }
  async function saveIn({ page }: Dashboard, ...consequences: readonly string[]): Promise<void> {
    await page.getByRole('button', { name: 'Review and save' }).click();
    for (const words of consequences) await page.getByRole('dialog').getByText(words).waitFor();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByText('Saved. It is in force now.').waitFor();
  }
  const grantsOf = async (database: string): Promise<unknown> => {
    const { body } = await suite.gate.ask('GET', `/${database}/_security`, { as: suite.gate.owner });
    return (body as { cloudant?: unknown }).cloudant;
  };
  const statusOf = async (path: string, as?: Credentials): Promise<number> =>
    (await suite.gate.ask('GET', path, { as })).status;

  it('creates a database, shares it with a user, and deletes it', async () => {
    const dashboard = await open();
    const { page } = dashboard;
    await page.getByRole('button', { name: 'Create database' }).click();
    const create = page.getByRole('button', { name: 'Create', exact: true });
    await page.getByLabel('Name', { exact: true }).fill('Wrong');
    await page.getByText('Begin with a lower-case letter').waitFor();
    assert.equal(await create.isDisabled(), true);
    await page.getByLabel('Name', { exact: true }).fill('shared');
    await create.click();
    await page.getByRole('heading', { name: 'Permissions of shared' }).waitFor();
    await page.getByRole('combobox', { name: 'User name or API key' }).fill('ali');
    await page.getByRole('option', { name: 'alice' }).click();
    await page.getByRole('button', { name: 'Add' }).click();
    await page.getByLabel('Read for alice').check();
    await page.getByLabel('Write for alice').check();
    await saveIn(dashboard, 'can read documents and write and delete documents.');
    assert.deepEqual(await grantsOf('shared'), { alice: ['_reader', '_writer'] });
    assert.equal(await statusOf('/shared', alice), 200);
    await page.getByRole('link', { name: 'Databases' }).first().click();
    await page.getByRole('button', { name: 'More actions on shared' }).click();
    await page.getByRole('menuitem', { name: 'Delete database' }).click();
    const confirm = page.getByRole('button', { name: 'Delete database' });
    assert.equal(await confirm.isDisabled(), true);
    await page.getByLabel('Type shared to confirm').fill('shared');
    await confirm.click();
    await page.getByRole('link', { name: 'Permissions of shared' }).waitFor({ state: 'detached' });
    assert.equal(await statusOf('/shared', suite.gate.owner), 404);
  });

  it('makes a database public by its padlock, and closes it again', async () => {
    await suite.gate.database('fruit', {});
    const dashboard = await open();
    const { page } = dashboard;
    await page.getByRole('link', { name: 'Permissions of fruit' }).click();
    await page.getByLabel('Read for everyone without a password').check();
    await saveIn(dashboard, 'fruit becomes readable without a password.');
    assert.equal(await statusOf('/fruit'), 200);
    await page.getByText('This database is public.').waitFor();
    await page.getByLabel('Read for everyone without a password').uncheck();
    await saveIn(dashboard, 'fruit is no longer public');
    assert.equal(await statusOf('/fruit'), 401);
  });

  it('generates a key with its first grant, rotates its password, and revokes it', async () => {
    await suite.gate.database('nuts', {});
    const dashboard = await permissionsOf('nuts');
    const { page } = dashboard;
    await page.getByRole('button', { name: 'Generate API key' }).click();
    await page.getByLabel('Label', { exact: true }).fill('sensor 7');
    await page.getByRole('button', { name: 'Generate API key' }).last().click();
    const first = await storedSecret(dashboard);
    assert.equal(await statusOf('/nuts', first), 200);
    assert.deepEqual(await grantsOf('nuts'), { [first.name]: ['_reader'] });
    await page.locator('tr', { hasText: 'sensor 7' }).waitFor();

    await page.getByRole('link', { name: 'API keys' }).click();
    await page.getByRole('button', { name: 'Actions on the key sensor 7' }).click();
    await page.getByRole('menuitem', { name: 'Rotate password' }).click();
    await page.getByLabel('Now: what uses it').check();
    const slow = await holdRequests(page, '**/rotate');
    await page.getByRole('button', { name: 'Rotate', exact: true }).click();
    await slow.sent;
    // Nobody would see the new password, and the old one has ended.
    await page.keyboard.press('Escape');
    for (const name of ['Close', 'Cancel'])
      assert.equal(await page.getByRole('button', { name }).isDisabled(), true);
    slow.goOn();
    const second = await storedSecret(dashboard);
    assert.notEqual(second.password, first.password);
    assert.deepEqual([await statusOf('/nuts', first), await statusOf('/nuts', second)], [401, 200]);

    await page.getByRole('button', { name: 'Actions on the key sensor 7' }).click();
    await page.getByRole('menuitem', { name: 'Rename' }).click();
    await page.getByLabel('Label', { exact: true }).fill('sensor 8');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: 'Actions on the key sensor 8' }).click();
    await page.getByRole('menuitem', { name: 'Revoke' }).click();
    await page.getByRole('button', { name: 'Revoke', exact: true }).click();
    await page.getByRole('button', { name: 'Remove its rows' }).click();
    await page.getByText('sensor 8').first().waitFor({ state: 'detached' });
    assert.equal(await statusOf('/nuts', second), 401);
    assert.deepEqual(await grantsOf('nuts'), {});
  });

  /** Reads name and password from the dialog, which closes only after "I have stored the password". */
  async function storedSecret({ page }: Dashboard): Promise<Credentials> {
    const dialog = page.getByRole('dialog');
    await dialog.getByText('never again').waitFor();
    const [name = '', password = ''] = await dialog.locator('code').allTextContents();
    await page.keyboard.press('Escape');
    const asked = page.waitForEvent('dialog');
    const back = page.goBack();
    const question = await asked;
    assert.match(question.message(), /shown only here/);
    await question.dismiss();
    await back;
    assert.equal(await page.getByRole('button', { name: 'Done' }).isDisabled(), true);
    await page.getByLabel('I have stored the password').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await dialog.waitFor({ state: 'detached' });
    assert.equal((await page.content()).includes(password), false);
    return { name, password };
  }

  it('keeps a new password on the screen when its row leaves the list', async () => {
    const { name } = await suite.gate.key();
    const dashboard = await open();
    dashboard.expectMessage(/ERR_FAILED/);
    const { page } = dashboard;
    await page.getByRole('link', { name: 'API keys' }).click();
    await page.getByRole('button', { name: `Actions on the key ${name}` }).click();
    await page.getByRole('menuitem', { name: 'Rotate password' }).click();
    // The answer is lost, and nobody is told that the old password goes on.
    const lose = async (route: Route): Promise<void> => {
      await route.fetch();
      await route.abort();
    };
    await page.route('**/rotate', lose, { times: 1 });
    await page.getByRole('button', { name: 'Rotate', exact: true }).click();
    await page.getByText('It is not known whether it was done').waitFor();
    await page.getByRole('button', { name: 'Rotate', exact: true }).click();
    await page.getByRole('dialog').getByText('never again').waitFor();
    await suite.gate.ask('DELETE', `/_api/v2/api_keys/${name}`, { as: suite.gate.owner });
    await readAgain(page, /\/api_keys(?:\?|$)/);
    const row = page.locator('tbody tr', { hasText: name });
    await row.waitFor({ state: 'detached' });
    await page.getByLabel('I have stored the password').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  it('keeps a name that is typed where the list of databases is refused, when it is asked again', async () => {
    const dashboard = await open(alice);
    dashboard.expectRefusal(/^403 \/_all_dbs/);
    const { page } = dashboard;
    await page.route('**/_all_dbs*', (route) =>
      route.fulfill({ status: 403, json: { error: 'forbidden', reason: 'no' } }),
    );
    await page.reload();
    await page.getByLabel('Name of the database').fill('gar');
    await readAgain(page, /_all_dbs/);
    assert.equal(await page.getByLabel('Name of the database').inputValue(), 'gar');
  });

  it('copies the roles of a key to another one', async () => {
    const [from, to] = [await suite.gate.key(), await suite.gate.key()];
    await suite.gate.database('copied-a', { [from.name]: ['_reader'], [to.name]: ['_writer'] });
    await suite.gate.database('copied-b', { [from.name]: ['_admin'] });
    const { page, go } = await open();
    await go(`/keys/${from.name}`);
    await page.getByRole('row', { name: 'copied-b' }).getByText('Admin').waitFor();
    await page.getByRole('button', { name: 'Copy roles to another key' }).click();
    const field = page.getByRole('combobox', { name: 'To the key' });
    await field.fill('no such key');
    await page.getByText('No key has this name').waitFor();
    await field.fill(from.name);
    await page.getByText('This is the key itself').waitFor();
    await field.fill(to.name);
    const slow = await holdRequests(page, '**/copied-*/_security');
    await page.getByRole('dialog').getByRole('button', { name: 'Copy roles' }).click();
    await slow.sent;
    await page.getByRole('button', { name: 'Stop' }).click();
    slow.goOn();
    await page.getByRole('button', { name: 'Close' }).last().waitFor();
    assert.deepEqual(await grantsOf('copied-b'), { [from.name]: ['_admin'] });
    await page.getByRole('button', { name: 'Copy the rest' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.deepEqual(await grantsOf('copied-a'), {
      [from.name]: ['_reader'],
      [to.name]: ['_reader', '_writer'],
    });
    assert.deepEqual(await grantsOf('copied-b'), { [from.name]: ['_admin'], [to.name]: ['_admin'] });
  });

  it('sees why a key may not write, and grants the role from the answer', async () => {
    const { body } = await suite.gate.ask('POST', '/_api/v2/api_keys', {
      as: suite.gate.owner,
      body: { label: 'probe 3' },
    });
    const { key, password } = body as { readonly key: string; readonly password: string };
    await suite.gate.database('asked', { [key]: ['_reader'] });
    const dashboard = await permissionsOf('asked');
    const { page } = dashboard;
    await page.getByRole('link', { name: 'Test access' }).click();
    await page.getByRole('combobox', { name: 'Who' }).fill('probe');
    await page.getByRole('option', { name: 'probe 3' }).click();
    await page.getByLabel('What').selectOption({ label: 'write a document' });
    await page.getByRole('button', { name: 'Test', exact: true }).click();
    await page.getByText('No, this is refused with 403').waitFor();
    await page.getByText('It lacks Write. It has Read here.').waitFor();
    await page.getByRole('button', { name: 'Grant Write to probe 3' }).click();
    await page.getByText('The role is among your unsaved changes.').waitFor();
    assert.deepEqual(await grantsOf('asked'), { [key]: ['_reader'] });
    await saveIn(dashboard, 'can write and delete documents.');
    await page.getByText('Yes, this is allowed').waitFor();
    assert.deepEqual(await grantsOf('asked'), { [key]: ['_reader', '_writer'] });
    const as = { name: key, password };
    assert.equal((await suite.gate.ask('PUT', '/asked/a', { as, body: {} })).status, 201);
    // The question is in the address.
    await page.reload();
    await page.getByText('Yes, this is allowed').waitFor();
    await page.getByLabel('What').selectOption({ label: 'send another request …' });
    await page.getByLabel('Path').fill('/asked/../_config');
    await page.getByRole('button', { name: 'Test', exact: true }).click();
    await page.getByText(/^No, this is refused with 40\d$/).waitFor();
    assert.equal(await page.getByRole('button', { name: /^Grant/ }).count(), 0);
  });

  async function setRoles(name: string, roles: readonly string[]): Promise<void> {
    const path = `/_users/org.couchdb.user:${name}`;
    const { body } = await suite.gate.ask('GET', path, { as: suite.gate.owner });
    const put = await suite.gate.ask('PUT', path, {
      as: suite.gate.owner,
      body: { ...(body as object), roles },
    });
    assert.equal(put.status, 201);
  }

  it('creates a user, sets its password, changes its roles, deletes it, and sees no hash', async () => {
    const key = await suite.gate.key();
    const dashboard = await open();
    dashboard.expectRefusal(/^(?:403|409) \/_users\/org\.couchdb\.user/);
    const { page } = dashboard;
    const fetched: string[] = [];
    page.on('response', (answer) => {
      if (!answer.url().endsWith('/_users/_find')) return;
      // The browser forgets the body of an answer when the page moves on; another answer has the same fields.
      answer.text().then(
        (text) => fetched.push(text),
        () => undefined,
      );
    });
    await page.getByRole('link', { name: 'Users', exact: true }).click();
    await page.getByRole('button', { name: 'Create user' }).click();
    const name = page.getByLabel('Name', { exact: true });
    const create = page.getByRole('dialog').getByRole('button', { name: 'Create user' });
    await page.getByRole('textbox', { name: 'Password' }).fill('a long password');
    for (const [taken, why] of [
      [key.name, 'an API key has or had it'],
      [suite.gate.owner.name, 'a server admin of CouchDB has it'],
      ['alice', 'A user with this name exists.'],
    ] as const) {
      await name.fill(taken);
      await create.click();
      await page.getByText(why).waitFor();
    }
    await name.fill('dora');
    await create.click();
    await page.getByRole('heading', { name: 'dora' }).waitFor();
    await page.getByText('No database grants it a role.').waitFor();
    const signsIn = (password: string): Promise<number> =>
      statusOf('/_session?basic=true', { name: 'dora', password });
    assert.equal(await signsIn('a long password'), 200);
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByRole('textbox', { name: 'Password' }).fill('another password');
    await page.getByRole('button', { name: 'Set password', exact: true }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.deepEqual([await signsIn('a long password'), await signsIn('another password')], [401, 200]);
    await page.getByRole('button', { name: 'Change roles' }).click();
    await page.getByRole('textbox', { name: 'Roles in CouchDB' }).fill('staff\n_admin');
    await page.getByText('keeps names that begin with an underscore').waitFor();
    const roles = page.getByRole('textbox', { name: 'Roles in CouchDB' });
    await roles.fill('night shift');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('night shift').waitFor();
    // Another admin writes while the dialog is open; then its roles are shown, and mine come to them.
    await page.getByRole('button', { name: 'Change roles' }).click();
    await setRoles('dora', ['night shift', 'theirs']);
    await roles.fill('night shift\nstaff');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Somebody else has changed the roles meanwhile.').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('night shift, theirs').waitFor();
    await page.getByRole('button', { name: 'Change roles' }).click();
    await roles.fill(`${await roles.inputValue()}\nstaff`);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('night shift, theirs, staff').waitFor();
    assert.equal(await signsIn('another password'), 200);
    await page.getByRole('button', { name: 'Delete user' }).click();
    await page.getByLabel('Type dora to confirm').fill('dora');
    await page.getByRole('dialog').getByRole('button', { name: 'Delete user' }).click();
    await page.getByRole('link', { name: 'alice' }).waitFor();
    await page.getByRole('link', { name: 'dora' }).waitFor({ state: 'detached' });
    assert.equal(await signsIn('another password'), 401);
    assert.notEqual(fetched.length, 0);
    for (const text of [...fetched, await page.content()])
      assert.doesNotMatch(text, /derived_key|salt|pbkdf2|password_sha/);
  });

  it('is told that an API key has no access', async () => {
    const dashboard = await suite.open({});
    dashboard.expectRefusal(/^403 \/_session$/);
    const { page } = dashboard;
    await signIn(page, await suite.gate.key());
    await page.getByText('API keys have no access to the dashboard. Sign in as').waitFor();
    await page.getByText('Request').waitFor();
  });

  it('changes permissions as a user who holds _security, and sees nothing else', async () => {
    await suite.gate.database('garden', { alice: ['_security'] });
    await suite.gate.database('garden-tools', { alice: ['_writer', '_reader'] });
    await suite.gate.database('garden-left');
    const left = { couchdb_auth_only: true, members: { names: ['alice'] } };
    await suite.gate.ask('PUT', '/garden-left/_security', { as: suite.gate.owner, body: left });
    const asked: string[] = [];
    suite.gate.recorder.takeEverything();
    const dashboard = await open(alice);
    dashboard.page.on('request', (request) => asked.push(request.url().slice(suite.gate.url.length)));
    dashboard.expectRefusal(/^403 \/_api\/v2\/db\/secret\/_security$/);
    const { page } = dashboard;
    await page.getByRole('heading', { name: 'Shared with you' }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'API keys' }).count(), 0);
    const cellOf = (name: string) =>
      page.locator('tr', { hasText: name }).locator('[data-column="Your roles"]');
    await page.getByText('Security', { exact: true }).waitFor();
    assert.equal(await cellOf('garden-tools').textContent(), 'ReadWrite');
    assert.equal(await cellOf('garden-left').textContent(), 'CouchDB decides');
    // The roles of all databases come with one request, and only who may change permissions gets to them.
    assert.deepEqual(
      asked.filter((path) => /access|_security/.test(path)),
      ['/_api/v2/access?principal=alice'],
    );
    assert.equal(await page.getByRole('link', { name: /^Permissions of/ }).count(), 1);
    await dashboard.go('/databases/garden/permissions');
    await page.getByLabel('Write for everyone without a password').check();
    await saveIn(dashboard, 'garden becomes writable without a password.');
    assert.deepEqual(await grantsOf('garden'), { alice: ['_security'], nobody: ['_writer'] });
    await dashboard.go('/databases/garden/permissions?show=test&name=nobody&do=replicate-from');
    await page.getByText('No, this is refused with 401').waitFor();
    await page.getByRole('button', { name: 'Grant Replicate to everyone' }).waitFor();
    await suite.gate.database('secret', {});
    await dashboard.go('/databases/secret/permissions');
    await page.getByText('The permissions cannot be read').waitFor();
    await page.getByText('You hold no role on it.').waitFor();
    await page.getByText(/^Request /).waitFor();
  });

  it('loses no edits when the session ends', async () => {
    await suite.gate.database('edits', {});
    const dashboard = await permissionsOf('edits');
    const { page, context } = dashboard;
    await page.getByLabel('Read for everyone without a password').check();
    await context.clearCookies();
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByText('Your session has ended').waitFor();
    await signIn(page, { ...suite.gate.owner, password: 'wrong' });
    await page.getByText('Name or password is incorrect.').waitFor();
    await signIn(page, suite.gate.owner);
    await page.getByText('Saved. It is in force now.').waitFor();
    assert.deepEqual(await grantsOf('edits'), { nobody: ['_reader'] });
  });

  it('is asked before unsaved edits are lost, and not without a change', async () => {
    await suite.gate.database('unsaved', {});
    const dashboard = await permissionsOf('unsaved');
    const { page } = dashboard;
    const box = page.getByLabel('Read for everyone without a password');
    await box.check();
    const asked: string[] = [];
    page.on('dialog', (dialog) => {
      asked.push(dialog.message());
      void (asked.length === 1 ? dialog.dismiss() : dialog.accept());
    });
    await page.getByRole('link', { name: 'API keys' }).click();
    await page.getByRole('heading', { name: 'Permissions of unsaved' }).waitFor();
    assert.equal(await box.isChecked(), true);
    await page.getByRole('link', { name: 'API keys' }).click();
    await page.getByRole('heading', { name: 'API keys' }).waitFor();
    assert.match(asked.join(), /unsaved changes/);
    assert.equal(asked.length, 2);
    await dashboard.go('/databases/unsaved/permissions');
    await box.check();
    await box.uncheck();
    await page.getByRole('link', { name: 'Account' }).click();
    await page.getByRole('heading', { name: 'Account' }).waitFor();
    assert.equal(asked.length, 2);
  });

  it('finds a list again by its address: search, sort, back', async () => {
    for (const name of ['list-a', 'list-b']) await suite.gate.database(name, {});
    const { page } = await open();
    await page.getByLabel('Search by name').fill('list-');
    await page.getByRole('button', { name: 'Name' }).click();
    const names = page.locator('tbody th');
    await names.first().getByText('list-b').waitFor();
    await page.reload();
    await names.first().getByText('list-b').waitFor();
    assert.deepEqual(await names.allTextContents(), ['list-b', 'list-a']);
    await page.getByRole('link', { name: 'Permissions of list-a' }).click();
    await page.getByRole('heading', { name: 'Permissions of list-a' }).waitFor();
    await page.goBack();
    await names.first().getByText('list-b').waitFor();
    assert.equal(await page.getByLabel('Search by name').inputValue(), 'list-');
  });

  it('hands a database to CouchDB, and is warned if that opens it', async () => {
    await suite.gate.database('handed', {});
    const dashboard = await permissionsOf('handed');
    const { page } = dashboard;
    await page.getByText('Let CouchDB decide').click();
    await page.getByLabel('CouchDB decides about this database').check();
    await page.getByLabel('Everybody, the public included').check();
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByText('handed is open to everybody').waitFor();
    await page.getByRole('button', { name: 'Go on editing' }).click();
    await page.getByLabel('These names and roles').check();
    await page.getByLabel('Members: names').fill('alice\n');
    await page.getByLabel('These names and roles').focus();
    await page.keyboard.press('ArrowDown');
    await page.getByLabel('Members: names').waitFor({ state: 'detached' });
    await page.keyboard.press('ArrowUp');
    await page.getByLabel('CouchDB decides about this database').uncheck();
    await page.getByText('Let CouchDB decide').click();
    await page.getByLabel('CouchDB decides about this database').check();
    await saveIn(dashboard, 'CouchDB decides: its members and admins');
    const { body } = await suite.gate.ask('GET', '/handed/_security', { as: suite.gate.owner });
    const { couchdb_auth_only: isOn, members } = body as Record<string, unknown>;
    assert.deepEqual([isOn, members], [true, { names: ['alice'], roles: [] }]);
    assert.deepEqual([await statusOf('/handed', alice), await statusOf('/handed')], [200, 401]);
  });

  it('signs out', async () => {
    const dashboard = await open();
    const { page, context } = dashboard;
    await page.getByRole('link', { name: 'Account' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.deepEqual(
      (await context.cookies()).map(({ name }) => name),
      [],
    );
  });
});
