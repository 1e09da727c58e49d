// Opens the client of `backup_target`.
import { type Settings } from '../config/settings.ts';
import { createTransfer, type CouchTransfer } from '../couch/transfer.ts';
import { type TargetSettings } from './process-protocol.ts';

/** A target that is away is given up after this time; the next run makes up for it. */
const PATIENCE_MS = 5000;

/** Undefined if there is none. */
export function openTarget(
  { url, user, password }: TargetSettings,
  connectTimeoutMs: number,
  patienceMs = PATIENCE_MS,
): CouchTransfer | undefined {
  if (url === '') return undefined;
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return createTransfer({
    pickNode: (tried) => (tried.has(url) ? undefined : { url }),
    authorization: () => authorization,
    connectTimeoutMs,
    patienceMs,
  });
}

export function targetSettings(
  settings: Pick<Settings, 'backupTarget' | 'backupTargetUser' | 'backupTargetPassword'>,
): TargetSettings {
  const { backupTarget: url, backupTargetUser: user, backupTargetPassword: password } = settings;
  return { url, user, password };
}
