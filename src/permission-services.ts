// Builds the services for permissions: the store of permissions, its follower, and the check of the majority.
import { isOpenToGrants } from './catalogue/database-name.ts';
import { type OperationalLog } from './config/operational-log.ts';
import { type Settings } from './config/settings.ts';
import { type Couch } from './couch/couch.ts';
import { type Store } from './couch/store.ts';
import { type RunningInvalidationBus } from './invalidation/store-bus.ts';
import { RecordMaintenance } from './permissions/record-maintenance.ts';
import { RecordFollower } from './permissions/record-follower.ts';
import { createSecurityStore, type SecurityKeeper } from './permissions/security-store.ts';
import { StoreMajority } from './permissions/store-majority.ts';

export interface PermissionParts {
  readonly security: SecurityKeeper;
  readonly recordFollower: RecordFollower;
  readonly recordMaintenance: RecordMaintenance;
  readonly storeMajority: StoreMajority;
}

/** Builds the services; sends nothing before the store is started. */
export function openPermissions(
  {
    settings,
    nodeUrls,
    log,
  }: { readonly settings: Settings; readonly nodeUrls: readonly string[]; readonly log: OperationalLog },
  parts: { readonly couch: Couch; readonly store: Store; readonly bus: RunningInvalidationBus },
  { permissionStep }: { readonly permissionStep?: (name: string) => Promise<void> },
): PermissionParts {
  const { storeDatabase } = settings;
  const report = (message: string, fields: object): void => log.warn(fields, message);
  const storeMajority = new StoreMajority({
    couch: parts.couch,
    storeDatabase,
    onState: (up) => {
      if (up) log.info({ up }, 'a majority of the copies of the store is up');
      else log.warn({ up }, 'less than a majority of the copies of the store is up');
    },
  });
  const security = createSecurityStore({
    ...settings,
    ...parts,
    nodeUrls,
    hasMajority: () => storeMajority.isUp,
    report,
    ...(permissionStep === undefined ? {} : { step: permissionStep }),
  });
  const recordMaintenance = new RecordMaintenance({
    ...{ couch: parts.couch, security, nodeUrls, report },
    isKept: (database) => database !== storeDatabase && isOpenToGrants(database),
  });
  const onLoaded = (): void => recordMaintenance.start();
  const recordFollower = new RecordFollower({ ...parts, security, report, onLoaded });
  return { security, recordFollower, recordMaintenance, storeMajority };
}
