// Creates an empty configuration folder for a Couchgate in the test process.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ConfigFolder {
  readonly path: string;
  /** Environment with the path of the folder. */
  readonly env: Readonly<Record<string, string>>;
  remove(): void;
}

export function makeConfigFolder(): ConfigFolder {
  const path = mkdtempSync(join(tmpdir(), 'couchgate-config-'));
  return {
    path,
    env: { COUCHGATE_CONFIG: path },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}
