// Opens the dashboard in the Chromium of the system, and remembers everything that a person must never see.
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type Locator, type Page } from 'playwright-core';
import { DASHBOARD_FOLDER } from '../../src/answer/dashboard-files.ts';
import { type Couchgate, type Credentials } from './couchgate.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The browser named by CHROMIUM, else the first one on the PATH. */
function chromiumPath(): string | undefined {
  const named = process.env['CHROMIUM'];
  if (named !== undefined && named !== '') return named;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function reasonToSkip(): string | false {
  if (chromiumPath() === undefined) return 'there is no Chromium: install it, or name it in CHROMIUM';
  return existsSync(join(DASHBOARD_FOLDER, 'index.html')) ? false : 'the dashboard is not built';
}

/** Why tests in a browser cannot run here; false = they can. */
export const NO_BROWSER: string | false = reasonToSkip();

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Starts the browser. Each test opens a context of its own in it. */
export function startBrowser(): Promise<Browser> {
  const executablePath = chromiumPath();
  if (executablePath === undefined) throw new Error('there is no Chromium');
  return chromium.launch({ executablePath, args: ARGUMENTS });
}

export interface Dashboard {
  readonly page: Page;
  readonly context: BrowserContext;
  /**
   * Errors in the console, violations of the policy, exceptions, requests to other hosts, and answers of 400
   * and above that no test has expected.
   */
  readonly problems: readonly string[];
  /** Expects such refusals from now on, as in `404 /fruit/nope`. Those with 401 are always expected. */
  readonly expectRefusal: (refusal: RegExp) => void;
  /** Expects such messages in the console from now on. */
  readonly expectMessage: (message: RegExp) => void;
  /** Goes to a page of the dashboard, by its fragment. */
  readonly go: (fragment: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface DashboardOptions {
  readonly width?: number;
  readonly colorScheme?: 'light' | 'dark';
  /** Undefined = nobody signs in. */
  readonly as?: Credentials;
  /** That of an earlier dashboard: it has the files in its cache. `close` then leaves it open, and clean. */
  readonly context?: BrowserContext;
}

const REFUSED = /^Failed to load resource: the server responded with a status of ([45]\d\d)/;
/**
 * A test that signs in wrongly, or whose session ends, says so by what it does. The embedded node has no
 * Fauxton, and the page Account asks for it.
 */
const ALWAYS_EXPECTED = [/^401 /, /^501 \/_utils\/$/];

/** Opens the dashboard with a session of its own; the form of the sign-in has tests of its own. */
export async function openDashboard(
  browser: Browser,
  { url }: Pick<Couchgate, 'url'>,
  { width = 1280, colorScheme = 'light', as, context: given }: DashboardOptions = {},
): Promise<Dashboard> {
  const context = given ?? (await browser.newContext({ viewport: { width, height: 800 }, colorScheme }));
  if (as !== undefined) await context.addCookies([await sessionOf(url, as)]);
  const page = await context.newPage();
  const problems: string[] = [];
  const expected = [...ALWAYS_EXPECTED];
  const messages: RegExp[] = [];
  page.on('console', (message) => {
    if (!['error', 'warning'].includes(message.type())) return;
    const [, status] = REFUSED.exec(message.text()) ?? [];
    if (status === undefined) {
      if (!messages.some((pattern) => pattern.test(message.text())))
        problems.push(`console: ${message.text()}`);
    } else {
      const refusal = `${status} ${message.location().url.slice(url.length)}`;
      if (!expected.some((pattern) => pattern.test(refusal))) problems.push(`refused: ${refusal}`);
    }
  });
  page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
  page.on('request', (request) => {
    const address = request.url();
    if (!address.startsWith(url) && !/^(?:data|blob):/.test(address)) problems.push(`other host: ${address}`);
  });
  // Not `commit`: a route that is set while Chromium takes over the document is ignored by its requests.
  await page.goto(`${url}/_dashboard/`, { waitUntil: 'domcontentloaded' });
  const dashboard: Dashboard = {
    page,
    context,
    problems,
    expectRefusal: (refusal) => expected.push(refusal),
    expectMessage: (message) => messages.push(message),
    go: async (fragment) => {
      await page.evaluate(`location.hash = ${JSON.stringify(fragment)}`);
    },
    close: async () => {
      if (given === undefined) return context.close();
      await page.close();
      await context.clearCookies();
      await context.unrouteAll();
    },
  };
  return dashboard;
}

/** Signs in as the form does, and gives the cookie to the browser. */
async function sessionOf(url: string, credentials: Credentials) {
  const answer = await fetch(`${url}/_session`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Couchgate-Dashboard': '1', Origin: url },
    body: JSON.stringify(credentials),
  });
  const [cookie = ''] = answer.headers.getSetCookie();
  const [pair = ''] = cookie.split(';', 1);
  const [name = '', ...value] = pair.split('=');
  if (!answer.ok || name === '') throw new Error(`the sign-in was answered ${answer.status}`);
  return { name, value: value.join('='), url, httpOnly: true, sameSite: 'Strict' } as const;
}

/**
 * Replaces the text of a CodeMirror editor. Chromium keeps the style of coloured text that is typed over in a
 * style attribute, which the policy of the page refuses: the old text is removed first.
 */
export async function fillEditor(editor: Locator, text: string): Promise<void> {
  await editor.press('ControlOrMeta+a');
  await editor.press('Delete');
  await editor.fill(text);
}

/**
 * How far the clock was set, in milliseconds. It is that of the context: a page that is opened in it later
 * begins with it.
 */
const ahead = new WeakMap<BrowserContext, number>();

/**
 * Lets the page read again what it shows, as when a person comes back to it after a minute. Resolves when the
 * answer for the address has arrived.
 */
export async function readAgain(page: Page, address: RegExp): Promise<void> {
  const time = (ahead.get(page.context()) ?? 0) + 60_000;
  ahead.set(page.context(), time);
  // Only `Date` is set: timers of the page go on.
  await page.clock.setFixedTime(Date.now() + time);
  const answer = page.waitForResponse((response) => address.test(response.url()));
  await page.evaluate("window.dispatchEvent(new Event('visibilitychange'))");
  await (await answer).finished();
}

/** Holds the requests to an address back until `goOn`. `sent` resolves with the first one. */
export async function holdRequests(page: Page, address: string) {
  let goOn = (): void => undefined;
  const released = new Promise<void>((resolve) => (goOn = resolve));
  await page.route(address, async (route) => {
    await released;
    await route.continue();
  });
  return { sent: page.waitForRequest(address), goOn };
}

/** Fills in the sign-in form that is shown. */
export async function signIn(page: Page, { name, password }: Credentials): Promise<void> {
  const field = page.getByLabel('Name', { exact: true });
  if (await field.isEditable()) await field.fill(name);
  await page.locator('input[name=password]').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}
