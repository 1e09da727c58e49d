// Runs a whole Couchgate in a process of its own, so that a test can kill it with its children. Its first
// message is a `Replica`; it sends its URL.
import { type BackupTiming } from '../../src/backup-services.ts';
import { type Settings } from '../../src/config/settings.ts';
import { type Backend } from './backend.ts';
import { startCouchgate } from './couchgate.ts';

export interface Replica {
  readonly backend: Pick<Backend, 'kind' | 'urls' | 'owner' | 'jwtSecretBase64' | 'kid'>;
  readonly settings: Partial<Settings>;
  readonly backupTiming: BackupTiming;
}

process.once('message', ({ backend, settings, backupTiming }: Replica) => {
  const none = { nodes: [], log: () => Promise.resolve(''), close: () => Promise.resolve() };
  void startCouchgate({ backend: { ...backend, ...none }, settings, overrides: { backupTiming } }).then(
    ({ url }) => process.send?.(url),
  );
});
process.on('disconnect', () => process.exit());
