// Reads the built dashboard into memory at start, so that no path of a request reaches the file system.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface DashboardFile {
  readonly type: string;
  readonly etag: string;
  /** True if the name contains a digest of the content: browsers may keep it for ever. */
  readonly isImmutable: boolean;
  readonly body: Buffer;
  /** The same content, compressed by the build; undefined if that saves nothing. */
  readonly gzip: Buffer | undefined;
}

/** The files by their path below `/_dashboard/`, such as `assets/index-5f0c.js`. Empty = it was not built. */
export type DashboardFiles = ReadonlyMap<string, DashboardFile>;

/** Folder of the build, from `src/answer/` and from `dist/answer/` alike. */
export const DASHBOARD_FOLDER = fileURLToPath(new URL('../../dist/dashboard/', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Reads every file of a known type. A missing folder yields no files. */
export function readDashboardFiles(folder: string): DashboardFiles {
  const files = new Map<string, DashboardFile>();
  if (!existsSync(folder)) return files;
  for (const entry of readdirSync(folder, { recursive: true })) {
    const path = String(entry).replaceAll('\\', '/');
    const type = TYPES[extname(path)];
    if (type === undefined) continue;
    const body = readFileSync(join(folder, path));
    const compressed = join(folder, `${path}.gz`);
    files.set(path, {
      type,
      etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
      isImmutable: path.startsWith('assets/'),
      body,
      gzip: existsSync(compressed) ? readFileSync(compressed) : undefined,
    });
  }
  return files;
}
