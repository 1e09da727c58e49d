// Decides where the dashboard is served.
import { isLoopback, parseListenAddress } from './listen-address.ts';
import { type Settings } from './settings.ts';

/**
 * `off` = nowhere; `shared` = on every listener of clients; `separate` = on the listener of
 * `dashboard_listen` alone.
 */
export type DashboardPlace = 'off' | 'shared' | 'separate';

export type DashboardSettings = Pick<
  Settings,
  'dashboard' | 'dashboardListen' | 'listen' | 'tlsRedirect' | 'unsandboxedDatabases'
>;

/**
 * Finds the place. `auto` shares the listeners of clients unless one of them would carry the password of a
 * server admin in plain text over a network, or serves stored pages that may run scripts: these would act
 * with the session of the dashboard (CVE-2021-38295).
 */
export function dashboardPlace(settings: DashboardSettings): DashboardPlace {
  const { dashboard, dashboardListen } = settings;
  if (dashboard === 'off') return 'off';
  if (dashboardListen !== 'off') return 'separate';
  if (dashboard === 'on') return 'shared';
  return isPlainOnNetwork(settings) || settings.unsandboxedDatabases !== '' ? 'off' : 'shared';
}

/** True if clients on other machines reach plain HTTP. */
export function isPlainOnNetwork({ listen, tlsRedirect }: DashboardSettings): boolean {
  const plain = parseListenAddress(listen);
  return plain !== undefined && !tlsRedirect && !isLoopback(plain.host);
}
