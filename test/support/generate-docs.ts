// Writes the documents that are generated from the code. `--check` only reports the outdated ones.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configurationDocument, fileSchema } from '../../src/config/document.ts';
import { permissionsSchema } from '../../src/cli/permissions/schema.ts';
import { endpointsDocument } from '../../src/catalogue/markdown.ts';

const ROOT = join(import.meta.dirname, '../..');

const DOCUMENTS: Readonly<Record<string, () => string>> = {
  'docs/endpoints.md': endpointsDocument,
  'docs/configuration.md': configurationDocument,
  'docs/schema/couchgate.schema.json': () => fileSchema('couchgate.yaml'),
  'docs/schema/ip-whitelist.schema.json': () => fileSchema('ip-whitelist.yaml'),
  'docs/schema/cors.schema.json': () => fileSchema('cors.yaml'),
  'docs/schema/permissions.schema.json': permissionsSchema,
};

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const check = process.argv.includes('--check');
for (const [name, text] of Object.entries(DOCUMENTS)) {
  const path = join(ROOT, name);
  if (read(path) === text()) continue;
  if (check) {
    process.stderr.write(`${name} is outdated: run npm run docs\n`);
    process.exitCode = 1;
  } else {
    writeFileSync(path, text());
    process.stdout.write(`${name} written\n`);
  }
}
