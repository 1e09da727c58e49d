// Prints a short guide for a user at a terminal: listen addresses and example commands.
import { join } from 'node:path';
import { type Secrets } from './config/secrets.ts';
import { type Settings } from './config/settings.ts';

/**
 * Writes the guide to stderr: stdout carries the access log. A generated owner password is shown only here.
 */
export function welcome(settings: Settings, secrets: Secrets, addresses: readonly string[]): void {
  process.stderr.write(`${welcomeLines(settings, secrets, addresses).join('\n')}\n`);
}

/**
 * Returns the lines of the guide. The example commands need the owner, so only the embedded node has them.
 */
export function welcomeLines(
  settings: Settings,
  secrets: Secrets,
  addresses: readonly string[],
): readonly string[] {
  const lines = ['', `Couchgate listens on ${addresses.join(' and ')}`];
  const [url] = addresses;
  if (settings.couchdbNodes.length > 0 || url === undefined) return [...lines, ''];
  const file = join(settings.data, 'owner_password');
  const isGenerated = settings.ownerPassword === '';
  if (secrets.created.has('ownerPassword')) {
    lines.push(
      '',
      `The owner is \`${settings.owner}\`, password \`${secrets.ownerPassword}\` (shown once, stored in ${file}).`,
    );
  }
  const password = isGenerated ? `$(cat ${file})` : '$COUCHGATE_OWNER_PASSWORD';
  return [
    ...lines,
    '',
    'Try in a second terminal:',
    '',
    ...walkThrough(url, settings.owner, password).map((line) => `  ${line}`),
    '',
  ];
}

/**
 * Returns example commands: create a database, a key and a grant; then a permitted read and a refused write.
 */
export function walkThrough(url: string, owner: string, password: string): readonly string[] {
  const json = `-H 'Content-Type: application/json'`;
  return [
    `OWNER="${url.replace('://', `://${owner}:${password}@`)}"`,
    `curl -X PUT "$OWNER/fruit"`,
    `KEY=$(curl -s -X POST "$OWNER/_api/v2/api_keys" | sed -E 's/.*"key":"([^"]+)","password":"([^"]+)".*/\\1:\\2/')`,
    `curl -X PUT "$OWNER/_api/v2/db/fruit/_security" ${json} -d "{\\"cloudant\\":{\\"\${KEY%%:*}\\":[\\"_reader\\"]}}"`,
    `curl -u "$KEY" ${url}/fruit/_all_docs`,
    `curl -u "$KEY" -X PUT ${url}/fruit/apple -d '{}'`,
  ];
}
