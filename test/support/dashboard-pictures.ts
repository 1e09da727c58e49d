// Takes the pictures of the dashboard in docs/pictures, from a running Couchgate with invented data: `npm run
// pictures`. It needs a build and Chromium.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { NO_BROWSER, openDashboard, startBrowser } from './browser.ts';
import { startCouchgate, type Couchgate } from './couchgate.ts';

const FOLDER = join(import.meta.dirname, '../../docs/pictures');
const WIDTH = 1080;
const HEIGHT = 560;

/** Databases with one of each kind of access. */
async function prepare(gate: Couchgate): Promise<void> {
  const as = gate.owner;
  const keyOf = async (label: string, expiresAt: string | null): Promise<string> => {
    const { body } = await gate.ask('POST', '/_api/v2/api_keys', {
      as,
      body: { label, expires_at: expiresAt },
    });
    return (body as { readonly key: string }).key;
  };
  const sensor = await keyOf('orchard sensor 7', '2099-01-31T12:00:00Z');
  const exporter = await keyOf('nightly export', null);
  const reader = ['_reader'];
  const writer = ['_reader', '_writer'];
  await gate.database('fruit', { nobody: reader, [sensor]: writer, alice: [...writer, '_security'] });
  await gate.database('harvest-2026', { [sensor]: ['_writer'], [exporter]: ['_reader', '_replicator'] });
  await gate.database('orders', { bob: ['_admin'], [exporter]: reader });
  await gate.database('prices', { nobody: reader });
  await gate.database('private');
  await gate.database('weather', { [sensor]: writer });
  const docs = Array.from({ length: 120 }, (_, at) => ({ _id: `apple-${at}` }));
  await gate.ask('POST', '/fruit/_bulk_docs', { as, body: { docs } });
}

async function takePictures(gate: Couchgate): Promise<void> {
  const browser = await startBrowser();
  try {
    const { page, go } = await openDashboard(browser, gate, { as: gate.owner });
    await page.setViewportSize({ width: WIDTH, height: HEIGHT });
    await page.getByRole('heading', { name: 'Databases' }).waitFor();
    await page.locator('tr', { hasText: 'fruit' }).getByText('120').waitFor();
    for (const words of ['2 keys', '1 key, 1 user', 'Owner only'])
      await page.getByText(words).first().waitFor();
    await page.locator('tr', { hasText: 'weather' }).getByText('1 key').waitFor();
    await page.locator('tr', { hasText: 'fruit' }).getByText('Public').waitFor();
    await page.screenshot({ path: join(FOLDER, 'databases.png') });
    await go('/databases/fruit/permissions');
    await page.locator('.label', { hasText: 'orchard sensor 7' }).waitFor();
    await page.getByLabel('Write for everyone without a password').check();
    await page.getByRole('button', { name: 'Review and save' }).waitFor();
    await page.screenshot({ path: join(FOLDER, 'permissions.png') });
  } finally {
    await browser.close();
  }
}

if (NO_BROWSER !== false) throw new Error(NO_BROWSER);
mkdirSync(FOLDER, { recursive: true });
const gate = await startCouchgate();
try {
  await prepare(gate);
  await takePictures(gate);
} finally {
  await gate.close();
}
