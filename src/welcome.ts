// Prints a short guide for a user at a terminal: listen addresses, the owner, and example commands.
import { join } from 'node:path';
import { dashboardPlace, isPlainOnNetwork } from './config/dashboard.ts';
import { type Secrets } from './config/secrets.ts';
import { type Settings } from './config/settings.ts';

export interface Welcome {
  readonly settings: Settings;
  readonly secrets: Pick<Secrets, 'created' | 'ownerPassword'>;
  /** Addresses of the listeners, HTTP first. */
  readonly addresses: readonly string[];
  /** False until the first API key exists: the example commands create one. */
  readonly hasKeys: boolean;
  /** File from which a configured password of the owner was read. */
  readonly passwordFile: string | undefined;
}

/**
 * Writes the guide to stderr: stdout carries the access log. A generated owner password is shown at the start
 * that creates it, its file at every start.
 */
export function welcome(parameters: Welcome): void {
  process.stderr.write(`${welcomeLines(parameters).join('\n')}\n`);
}

/**
 * Returns the lines of the guide. The example commands need the owner, so only the embedded node has them.
 */
export function welcomeLines(parameters: Welcome): readonly string[] {
  const { settings, addresses, hasKeys } = parameters;
  const lines = ['', `Couchgate listens on ${addresses.join(' and ')}`, dashboardLine(parameters)];
  if (settings.couchdbNodes.length > 0 || addresses.length === 0) return [...lines, ''];
  lines.push('', ownerLine(parameters));
  if (hasKeys) return [...lines, ''];
  const guide = walkThrough(exampleUrl(settings, addresses), settings.owner, passwordWord(parameters));
  return [...lines, '', 'Try in a second terminal:', '', ...guide.map((line) => `  ${line}`), ''];
}

/** Says where the dashboard is, or why it is off. */
function dashboardLine({ settings, addresses }: Welcome): string {
  const place = dashboardPlace(settings);
  if (place === 'shared') return `The dashboard is at ${exampleUrl(settings, addresses)}/_dashboard/`;
  // The listener of the dashboard is opened last.
  const last = addresses.at(-1) ?? '';
  if (place === 'separate') return `The dashboard is at ${reachable(last)}/_dashboard/`;
  if (settings.dashboard === 'off') return 'The dashboard is off.';
  const why = isPlainOnNetwork(settings)
    ? `${settings.listen} is plain HTTP on a network`
    : 'unsandboxed_databases is set';
  return `The dashboard is off: ${why}. The setting dashboard_listen or dashboard: on serves it.`;
}

function ownerLine({ settings, secrets, passwordFile }: Welcome): string {
  const owner = `The owner is \`${settings.owner}\``;
  if (settings.ownerPassword !== '')
    return `${owner}, with the password of ${passwordFile ?? 'the configuration'}.`;
  const file = join(settings.data, 'owner_password');
  if (!secrets.created.has('ownerPassword')) return `${owner}, with the password in ${file}.`;
  return `${owner}, password \`${secrets.ownerPassword}\` (shown once, stored in ${file}).`;
}

/** Returns the shell word of the password, or undefined if the user must type it. */
function passwordWord({ settings, passwordFile }: Welcome): string | undefined {
  const file = settings.ownerPassword === '' ? join(settings.data, 'owner_password') : passwordFile;
  return file === undefined ? undefined : `$(cat ${quoted(file)})`;
}

/** Quotes a word for the shell if necessary. */
function quoted(word: string): string {
  return /^[\w./@%+:-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Returns the URL for the examples. `tls_redirect` refuses plain HTTP; a wildcard is not a destination. */
function exampleUrl({ tlsRedirect, publicUrl }: Settings, addresses: readonly string[]): string {
  const [first = '', second = first] = addresses;
  const url = tlsRedirect ? second : first;
  if (url.startsWith('https:') && publicUrl.startsWith('https:')) return publicUrl;
  return reachable(url);
}

function reachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
}

/**
 * Example commands: create a database, a key and a grant; then a permitted read and a refused write.
 * `password` is a shell word; undefined = the user types it.
 */
export function walkThrough(url: string, owner: string, password: string | undefined): readonly string[] {
  const json = `-H 'Content-Type: application/json'`;
  // The certificate of a trial is seldom valid for this address.
  const curl = url.startsWith('https:') ? 'curl -k' : 'curl';
  return [
    ...(password === undefined ? ['echo "Password of the owner:" && read -rs PASSWORD'] : []),
    `OWNER="${owner.replace(/[\\"$`]/g, '\\$&')}:${password ?? '$PASSWORD'}"`,
    `${curl} -u "$OWNER" -X PUT ${url}/fruit`,
    `KEY=$(${curl} -s -u "$OWNER" -X POST ${url}/_api/v2/api_keys | sed -E 's/.*"key":"([^"]+)","password":"([^"]+)".*/\\1:\\2/')`,
    `${curl} -u "$OWNER" -X PUT ${url}/_api/v2/db/fruit/_security ${json} -d "{\\"cloudant\\":{\\"\${KEY%%:*}\\":[\\"_reader\\"]}}"`,
    `${curl} -u "$KEY" ${url}/fruit/_all_docs`,
    `${curl} -u "$KEY" -X PUT ${url}/fruit/apple -d '{}'`,
  ];
}
