// Sets up a suite of tests in a browser: one Couchgate, one Chromium, and the dashboards that tests open.
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import { type Browser, type BrowserContext } from 'playwright-core';
import { type Dashboard, type DashboardOptions, openDashboard, startBrowser } from './browser.ts';
import { type Couchgate, type CouchgateOptions, startCouchgate } from './couchgate.ts';

/** One Couchgate and one browser for the tests of a suite. */
export interface DashboardSuite {
  readonly gate: Couchgate;
  readonly browser: Browser;
  /** Opens a dashboard, by default as the owner. After the test it is closed; it must have had no problem. */
  open(options?: Pick<DashboardOptions, 'as'>): Promise<Dashboard>;
}

/** Call it in a suite: it starts both before the first test, and closes both after the last. */
export function dashboardSuite(
  options: () => CouchgateOptions | Promise<CouchgateOptions> = () => ({}),
): DashboardSuite {
  let started: { readonly gate: Couchgate; readonly browser: Browser } | undefined;
  const opened: Dashboard[] = [];
  // A new context would fetch and compile every script again.
  const free: BrowserContext[] = [];
  const parts = () => {
    if (started === undefined) throw new Error('used before the first test');
    return started;
  };
  before(async () => {
    started = { gate: await startCouchgate(await options()), browser: await startBrowser() };
  });
  after(async () => {
    await started?.browser.close();
    await started?.gate.close();
  });
  afterEach(async () => {
    const closed = opened.splice(0);
    for (const { close, context } of closed) {
      await close();
      free.push(context);
    }
    for (const { problems } of closed) assert.deepEqual(problems, []);
  });
  return {
    get gate() {
      return parts().gate;
    },
    get browser() {
      return parts().browser;
    },
    async open(how) {
      const { gate, browser } = parts();
      const context = free.pop() ?? (await browser.newContext({ viewport: { width: 1280, height: 800 } }));
      const dashboard = await openDashboard(browser, gate, { ...(how ?? { as: gate.owner }), context });
      opened.push(dashboard);
      return dashboard;
    },
  };
}
