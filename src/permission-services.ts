// Builds the services for permissions: their store with its follower, its maintenance and the check of the
// majority, their history, and the memory of existing databases.
import { type AtomCount } from './body/erlang-terms.ts';
import { kindOfName, mayHaveGrants, ownDatabases } from './catalogue/database-name.ts';
import { type OperationalLog } from './config/operational-log.ts';
import { type Settings } from './config/settings.ts';
import { type Couch } from './couch/couch.ts';
import { type Store } from './couch/store.ts';
import { type RunningInvalidationBus } from './invalidation/store-bus.ts';
import { createExistingDatabases, type ExistingDatabases } from './permissions/existing-databases.ts';
import { CreationLimit } from './permissions/creation-limit.ts';
import { createPermissionHistory, type PermissionHistory } from './permissions/permission-history.ts';
import { PrefixGrants } from './permissions/prefix-grants.ts';
import { RecordMaintenance } from './permissions/record-maintenance.ts';
import { RecordFollower } from './permissions/record-follower.ts';
import { createPermissionStore } from './permissions/cached-permission-store.ts';
import { type PermissionStore } from './permissions/permission-store.ts';
import { ServerGrants } from './permissions/server-grants.ts';
import { StoreMajority } from './permissions/store-majority.ts';

export interface PermissionParts {
  readonly permissions: PermissionStore;
  readonly recordFollower: RecordFollower;
  readonly recordMaintenance: RecordMaintenance;
  readonly storeMajority: StoreMajority;
  readonly history: PermissionHistory;
  readonly existingDatabases: ExistingDatabases;
  readonly prefixGrants: PrefixGrants;
  readonly serverGrants: ServerGrants;
  readonly creationLimit: CreationLimit;
}

/** The services that those of permissions use. */
interface PermissionDeps {
  readonly couch: Couch;
  readonly store: Store;
  readonly bus: RunningInvalidationBus;
  /** Gets the names of the nodes of CouchDB. */
  readonly atoms: Pick<AtomCount, 'knowNodes'>;
}

/** Builds the services; sends nothing before the store is started. */
export function openPermissions(
  {
    settings,
    nodeUrls,
    log,
  }: { readonly settings: Settings; readonly nodeUrls: readonly string[]; readonly log: OperationalLog },
  { atoms, ...parts }: PermissionDeps,
  { permissionStep }: { readonly permissionStep?: (name: string) => Promise<void> },
): PermissionParts {
  const { storeDatabase } = settings;
  const report = (message: string, fields: object): void => log.warn(fields, message);
  const storeMajority = openStoreMajority(parts.couch, storeDatabase, log, atoms);
  const own = ownDatabases(storeDatabase);
  const { adopt } = settings;
  const clock = { now: Date.now };
  const prefixGrants = new PrefixGrants({
    ...settings,
    ...parts,
    ...clock,
    report,
    rules: { isOrdinary: (database) => kindOfName(database) === 'ordinary', ownDatabases: own, adopt },
  });
  const serverGrants = new ServerGrants({ ...settings, ...parts, ...clock, report });
  const creationLimit = new CreationLimit({ ...parts, ...clock, storeDatabase });
  const permissions = createPermissionStore({
    ...settings,
    ...parts,
    prefixGrants,
    nodeUrls,
    hasMajority: () => storeMajority.isUp,
    report,
    ...(permissionStep === undefined ? {} : { step: permissionStep }),
  });
  const recordMaintenance = new RecordMaintenance({
    couch: parts.couch,
    permissions,
    nodeUrls,
    report,
    isKept: (database) => mayHaveGrants(database, own),
  });
  const onLoaded = (): void => recordMaintenance.start();
  const recordFollower = new RecordFollower({ ...parts, permissions, report, onLoaded });
  const history = openHistory(parts.couch, settings, own[1], report);
  permissions.onAcknowledged((change) => history.record(change));
  const existingDatabases = createExistingDatabases(parts);
  return {
    permissions,
    recordFollower,
    recordMaintenance,
    storeMajority,
    history,
    existingDatabases,
    prefixGrants,
    serverGrants,
    creationLimit,
  };
}

function openHistory(
  couch: Couch,
  { permissionHistory: keep, permissionHistoryDays: keepDays }: Settings,
  historyDatabase: string,
  report: (message: string, fields: object) => void,
): PermissionHistory {
  return createPermissionHistory({ couch, report, historyDatabase, keep, keepDays });
}

function openStoreMajority(
  couch: Couch,
  storeDatabase: string,
  log: OperationalLog,
  atoms: PermissionDeps['atoms'],
): StoreMajority {
  return new StoreMajority({
    onNodes: (names) => atoms.knowNodes(names),
    couch,
    storeDatabase,
    onState: (up) => {
      if (up) log.info({ up }, 'a majority of the copies of the store is up');
      else log.warn({ up }, 'less than a majority of the copies of the store is up');
    },
  });
}
