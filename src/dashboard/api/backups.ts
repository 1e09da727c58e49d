// Sends the requests about backups, jobs and stored versions.
import { membersOf, objectOf } from '../json-text.ts';
import { ApiError, call, callText } from './http.ts';
import { pathOf } from './paths.ts';

/** Times in ISO 8601. */
export interface DatabaseBackup {
  readonly database: string;
  readonly snapshots: number;
  readonly newest: {
    readonly id: string;
    readonly started: string;
    readonly finished: string;
    /** False: something could not be read. */
    readonly complete: boolean;
    readonly counts: { readonly documents?: number };
    /** What the backup put into the repository; null = it did not count. */
    readonly added_bytes?: number | null;
    readonly problem_count: number;
  };
  readonly last_success: string | null;
  readonly verified_at: string | null;
}

export interface BackupJob {
  readonly id: string;
  readonly kind: 'backup' | 'restore' | 'verify';
  readonly state: 'queued' | 'running' | 'done' | 'incomplete' | 'failed' | 'interrupted';
  readonly by: string;
  readonly created: string;
  readonly finished?: string;
  readonly reason?: string;
  readonly request: { readonly database?: string; readonly to?: string };
  readonly progress?: {
    readonly database: string;
    readonly documents: number;
    readonly total: number;
  };
  readonly databases: { readonly done: number; readonly incomplete: number; readonly failed: number };
  readonly results: readonly {
    readonly database: string;
    readonly state: 'done' | 'incomplete' | 'failed';
    readonly reason?: string;
    /** The first ones; `problem_count` counts all. The id is empty if it is not about a document. */
    readonly problems?: readonly { readonly id: string; readonly reason: string }[];
    readonly problem_count?: number;
  }[];
}

export interface BackupStatus {
  readonly enabled: boolean;
  /** Why there are none. */
  readonly reason?: string;
  readonly running?: readonly BackupJob[];
  /** Null = backups run only by hand. `next` in ISO 8601. */
  readonly schedule?: { readonly setting: string; readonly next: string } | null;
  readonly repository?: { readonly folder: string; readonly encrypted: boolean } | null;
  readonly last_success?: string | null;
  readonly databases?: readonly DatabaseBackup[];
  /** Files of the repository that cannot be read, in words. */
  readonly damages?: readonly unknown[];
}

const ROOT = '_api/v2/backup';

export async function readBackups(signal: AbortSignal): Promise<BackupStatus> {
  return (await call<BackupStatus>({ path: ROOT, signal })).body;
}

export async function readJobs(signal: AbortSignal): Promise<readonly BackupJob[]> {
  return (await call<{ readonly jobs: readonly BackupJob[] }>({ path: `${ROOT}/jobs`, signal })).body.jobs;
}

export interface Snapshot {
  readonly id: string;
  readonly started: string;
  readonly complete: boolean;
  readonly counts: { readonly documents?: number };
}

interface SnapshotPage {
  readonly snapshots: readonly Snapshot[];
  /** Where the next page starts; absent at the end. */
  readonly before?: string | null;
}

/** Every snapshot of a database, the newest first. */
export async function readSnapshots(database: string, signal: AbortSignal): Promise<readonly Snapshot[]> {
  const snapshots: Snapshot[] = [];
  for (let before: string | null = ''; before !== null;) {
    const query: URLSearchParams = new URLSearchParams({
      database,
      limit: '1000',
      ...(before === '' ? {} : { before }),
    });
    const path = `${ROOT}/snapshots?${query.toString()}`;
    const page: SnapshotPage = (await call<SnapshotPage>({ path, signal })).body;
    snapshots.push(...page.snapshots);
    before = page.before ?? null;
  }
  return snapshots;
}

/** The id of the job that was taken in. */
async function start(action: 'run' | 'verify' | 'restore', body: object): Promise<string> {
  return (await call<{ readonly id: string }>({ method: 'POST', path: `${ROOT}/${action}`, body })).body.id;
}

/** Starts a backup of one database, or of all that the settings name. */
export function startBackup(database?: string): Promise<string> {
  return start('run', database === undefined ? {} : { databases: [database] });
}

/** Restores a snapshot into a scratch database and compares; the scratch database is removed. */
export function startVerify(database: string): Promise<string> {
  return start('verify', { database });
}

/** Restores a snapshot into a new database. */
export function startRestore(database: string, snapshot: string, to: string): Promise<string> {
  return start('restore', { database, snapshot, to });
}

/** One stored version of a document: the same content in all snapshots from `first` to `last`. */
export interface DocumentVersion {
  readonly snapshot: string;
  readonly rev: string | null;
  readonly deleted: boolean;
  readonly first: { readonly started: string };
  readonly last: { readonly started: string };
  readonly snapshots: number;
  /** The winner and the conflicts. */
  readonly leaves: readonly { readonly rev: string; readonly deleted: boolean }[];
}

export interface DocumentVersions {
  /** The document as it is now; null = there never was one. */
  readonly live: { readonly rev: string; readonly deleted: boolean } | null;
  /** The newest first. */
  readonly versions: readonly DocumentVersion[];
}

/** An id that no path can carry goes into the query. */
function documentsPath(database: string, id: string, query: Readonly<Record<string, string>>): string {
  const isInPath = id !== '.' && id !== '..';
  const design = id.startsWith('_design/');
  const segments = design ? ['_design', id.slice('_design/'.length)] : [id];
  const path = `${ROOT}/documents/${pathOf(database, ...(isInPath ? segments : []))}`;
  const parameters = new URLSearchParams({ ...(isInPath ? {} : { id }), ...query });
  return parameters.size === 0 ? path : `${path}?${parameters.toString()}`;
}

/** Resolves with null if no snapshot has the document. */
export async function readVersions(
  database: string,
  id: string,
  signal: AbortSignal,
): Promise<DocumentVersions | null> {
  try {
    return (await call<DocumentVersions>({ path: documentsPath(database, id, {}), signal })).body;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** The content of a stored version, as JSON in lines; numbers keep their digits. */
export async function readVersion(
  database: string,
  id: string,
  snapshot: string,
  signal: AbortSignal,
): Promise<string> {
  const answer = await callText({ path: documentsPath(database, id, { snapshot }), signal });
  const document = membersOf(answer).find(({ name }) => name === 'document')?.value ?? '{}';
  return objectOf(membersOf(document).filter(({ name }) => !name.startsWith('_')));
}

/**
 * Writes a stored version as a new revision. `revision` = the live one that was shown, null without one.
 * Rejects with 409 if another one is live now; nothing was written then.
 */
export async function restoreVersion(
  database: string,
  id: string,
  { snapshot, revision }: { readonly snapshot: string; readonly revision: string | null },
): Promise<void> {
  const isInPath = id !== '.' && id !== '..';
  const path = isInPath
    ? `${documentsPath(database, id, {})}/restore`
    : `${ROOT}/documents/${pathOf(database)}`;
  await call({ method: 'POST', path, body: { snapshot, revision, ...(isInPath ? {} : { id }) } });
}
