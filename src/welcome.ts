// Tells whoever started Couchgate at a terminal where it listens and what to try. The log is for machines; these lines are for a person.
import { join } from 'node:path';
import { type Secrets } from './config/secrets.ts';
import { type Settings } from './config/settings.ts';

/** Written to stderr: stdout belongs to the access log. A generated owner password is shown this once. */
export function welcome(settings: Settings, secrets: Secrets, addresses: readonly string[]): void {
  process.stderr.write(`${welcomeLines(settings, secrets, addresses).join('\n')}\n`);
}

/** The lines; those to try only for the embedded node, whose owner Couchgate knows. */
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
      `The owner is \`${settings.owner}\`, password \`${secrets.ownerPassword}\` (shown once, kept in ${file}).`,
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

/** A database, a key, a grant, a read that is permitted and a write that is refused. */
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
