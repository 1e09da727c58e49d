// An empty folder of configuration files, for a Couchgate that a test starts in its own process.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ConfigFolder {
  readonly path: string;
  /** The environment that names it. */
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
