// The version of Couchgate, read once from package.json.
import { readFileSync } from 'node:fs';

export const VERSION = readVersion();

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}
