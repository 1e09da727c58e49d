// Takes the pictures of the dashboard in docs/pictures, from a running Couchgate with invented data: `npm run
// pictures`. It needs a build and Chromium.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NO_BROWSER, openDashboard, startBrowser } from './browser.ts';
import { startCouchgate, type Couchgate } from './couchgate.ts';
import { until } from './until.ts';

const FOLDER = join(import.meta.dirname, '../../docs/pictures');
const WIDTH = 1080;
const HEIGHT = 560;

interface Key {
  readonly key: string;
  readonly password: string;
}

/** Databases with one of each kind of access. Resolves with a key that lacks a role. */
async function prepare(gate: Couchgate): Promise<string> {
  const as = gate.owner;
  const keyOf = async (label: string, expiresAt: string | null): Promise<Key> => {
    const { body } = await gate.ask('POST', '/_api/v2/api_keys', {
      as,
      body: { label, expires_at: expiresAt },
    });
    return body as Key;
  };
  const sensor = await keyOf('orchard sensor 7', '2099-01-31T12:00:00Z');
  const exporter = await keyOf('nightly export', null);
  const reader = ['_reader'];
  const writer = ['_reader', '_writer'];
  await gate.database('fruit', { nobody: reader, [sensor.key]: writer, alice: [...writer, '_security'] });
  await gate.database('harvest-2026', {
    [sensor.key]: ['_writer'],
    [exporter.key]: ['_reader', '_replicator'],
  });
  await gate.database('orders', { bob: ['_admin'], [exporter.key]: reader });
  await gate.database('prices', { nobody: reader });
  await gate.database('private');
  await gate.database('weather', { [sensor.key]: writer });
  const docs = Array.from({ length: 119 }, (_, at) => ({ _id: `apple-${at}` }));
  await gate.ask('POST', '/fruit/_bulk_docs', { as, body: { docs } });
  await prepareBackups(gate);
  // Refusals for the log.
  await gate.ask('PUT', '/orders/4711', {
    as: { name: exporter.key, password: exporter.password },
    body: {},
  });
  await gate.ask('GET', '/harvest-2026/_all_docs');
  await gate.ask('GET', '/fruit/apple', { as: { name: sensor.key, password: 'not this one' } });
  return exporter.key;
}

/** Two backups, with a change after each. */
async function prepareBackups(gate: Couchgate): Promise<void> {
  const as = gate.owner;
  const save = async (body: object): Promise<void> => {
    const { body: now } = await gate.ask('GET', '/fruit/apple', { as });
    const { _rev: rev } = now as { readonly _rev?: string };
    await gate.ask('PUT', '/fruit/apple', { as, body: rev === undefined ? body : { _rev: rev, ...body } });
  };
  const backUp = async (): Promise<void> => {
    await gate.ask('POST', '/_api/v2/backup/run', { as, body: {} });
    await until(async () => {
      const { body } = await gate.ask('GET', '/_api/v2/backup/jobs', { as });
      const { jobs = [] } = body as { readonly jobs?: readonly { readonly state: string }[] };
      return jobs.length > 0 && jobs.every(({ state }) => state === 'done');
    });
  };
  await save({ colour: 'green', price: 1.2, season: 'autumn' });
  await backUp();
  await save({ colour: 'red', price: 1.2, season: 'autumn', stock: 40 });
  await backUp();
  await save({ colour: 'red', price: 1.9, stock: 12 });
}

async function takePictures(gate: Couchgate, exporter: string): Promise<void> {
  const browser = await startBrowser();
  try {
    const dashboard = await openDashboard(browser, gate, { as: gate.owner });
    const { page, go } = dashboard;
    const take = async (name: string): Promise<void> => {
      await page.mouse.move(0, 0);
      await page.screenshot({ path: join(FOLDER, `${name}.png`) });
    };
    await page.setViewportSize({ width: WIDTH, height: HEIGHT });
    await page.getByRole('heading', { name: 'Databases' }).waitFor();
    await page.locator('tr', { hasText: 'fruit' }).getByText('120').waitFor();
    for (const words of ['2 keys', '1 key, 1 user', 'Server admins only'])
      await page.getByText(words).first().waitFor();
    await page.locator('tr', { hasText: 'weather' }).getByText('1 key').waitFor();
    await page.locator('tr', { hasText: 'fruit' }).getByText('Public').waitFor();
    await page.getByRole('columnheader', { name: 'Last backup' }).waitFor();
    await take('databases');
    await go('/databases/fruit/permissions');
    await page.locator('.label', { hasText: 'orchard sensor 7' }).waitFor();
    await page.getByLabel('Write for everyone without a password').check();
    await page.getByRole('button', { name: 'Review and save' }).waitFor();
    await take('permissions');
    await page.getByRole('button', { name: 'Discard' }).click();
    await go(`/databases/orders/permissions?show=test&name=${exporter}&do=write`);
    await page.getByRole('button', { name: 'Grant Write to nightly export' }).waitFor();
    await take('test-access');
    await go('/databases/fruit/documents/apple?show=backups');
    await page.locator('.cm-mergeView').waitFor();
    await take('document-backups');
    await go('/log?decision=deny');
    await page.getByText('wrong password').waitFor();
    await page.getByText('nightly export').waitFor();
    await take('log');
    await go('/cors?origin=https%3A%2F%2Fapp.example.org&method=PUT');
    await page.getByText('The browser blocks it').waitFor();
    await page.setViewportSize({ width: WIDTH, height: HEIGHT + 200 });
    await page.locator('button[data-loading]').waitFor({ state: 'detached' });
    await take('cors');
  } finally {
    await browser.close();
  }
}

if (NO_BROWSER !== false) throw new Error(NO_BROWSER);
mkdirSync(FOLDER, { recursive: true });
const repository = mkdtempSync(join(tmpdir(), 'couchgate-pictures-'));
const gate = await startCouchgate({
  settings: {
    backupRepository: join(repository, 'backups'),
    enableCors: true,
    origins: ['https://app.example.com'],
  },
});
try {
  await takePictures(gate, await prepare(gate));
} finally {
  await gate.close();
  rmSync(repository, { recursive: true, force: true });
}
