// Builds the steps of a request, and the handlers of Couchgate's own endpoints, from the services.
import { refuseUnknownAddress } from './admit/address.ts';
import { warnOfGateway } from './admit/gateway-address.ts';
import { dashboardPlace } from './config/dashboard.ts';
import { refuseAmbiguousFraming } from './admit/framing.ts';
import { applyOriginRules } from './admit/origin.ts';
import { readTarget } from './admit/target.ts';
import { type Steps } from './app.ts';
import { InvalidCondition, lineFilter } from './audit/line-filter.ts';
import { createLogReader, InvalidCursor, type LogReader } from './audit/log-reader.ts';
import { recordRequest } from './audit/record.ts';
import { identifyPrincipal } from './authenticate/index.ts';
import { authorizeOperation } from './authorize/index.ts';
import { ownDatabases } from './catalogue/database-name.ts';
import { classifyRequest } from './classify/index.ts';
import { explainHandlers } from './answer/explain.ts';
import { createExplainer } from './explain-steps.ts';
import { createForwarding, type Forwarding } from './forward/index.ts';
import { accessHandlers } from './answer/access.ts';
import { addressHandlers } from './answer/addresses.ts';
import { apiKeyHandlers } from './answer/api-keys.ts';
import { clusterCheckHandlers } from './answer/cluster-check.ts';
import { clusterHandlers } from './answer/cluster.ts';
import { backupDocumentHandlers } from './answer/backup-documents.ts';
import { backupHandlers } from './answer/backup.ts';
import { corsConfigHandlers } from './answer/cors-config.ts';
import { corsTestHandlers } from './answer/cors-test.ts';
import { dashboardHandlers } from './answer/dashboard.ts';
import { databaseListHandlers } from './answer/database-lists.ts';
import { databaseHandlers } from './answer/database.ts';
import { answerOwnEndpoint, type Answers } from './answer/index.ts';
import { nodeTasksHandlers } from './answer/node-tasks.ts';
import { exportHandlers } from './answer/export.ts';
import { exportConnections } from './export-services.ts';
import { guardRequest, type Guards } from './guard/index.ts';
import { legacyHandlers } from './answer/legacy.ts';
import { logHandlers, type LogDeps } from './answer/log.ts';
import { prefixGrantHandlers } from './answer/prefix-grants.ts';
import { serverGrantHandlers } from './answer/server-grants.ts';
import { guardReplication } from './guard/replication.ts';
import { HISTORY_READS, securityHistoryHandlers } from './answer/security-history.ts';
import { securityHandlers } from './answer/security.ts';
import { ownUserHandlers } from './answer/own-user.ts';
import { signUpHandler } from './answer/sign-up.ts';
import { createUnrecordedNames } from './answer/unrecorded-names.ts';
import { NO_MONITORS } from './permissions/server-grants.ts';
import { InternalReadLimiter } from './limits/internal-read-limiter.ts';
import { KeyedMutex } from './limits/keyed-mutex.ts';
import { sessionHandlers } from './answer/session.ts';
import { answerTempView } from './answer/temp-view.ts';
import { guardUp } from './guard/up.ts';
import { guardUsers } from './guard/users.ts';
import { GUARDED_LIMIT_BYTES } from './body/limits.ts';
import { BadRequest } from './http-errors.ts';
import { readinessOf, type ServerState } from './readiness.ts';
import { type Services } from './services.ts';
import { dataFolders } from './setup/check-at-rest.ts';
import { InstallationCheck } from './setup/installation-check.ts';

/** Builds the forwarding with its settings. */
export function createForward({
  settings,
  nodes,
  tokens,
  revocationWatch,
  valueBudget,
  atoms,
  isStillPermitted,
}: Services): Forwarding {
  return createForwarding({
    nodes,
    tokens,
    revocationWatch,
    isStillPermitted,
    valueBudget,
    atoms,
    publicUrl: settings.publicUrl,
    serverHeader: settings.serverHeader,
    unsandboxed: new Set(namesIn(settings.unsandboxedDatabases)),
    multipartTimeoutMs: settings.couchdbMultipartTimeoutMs,
    maxBodyBytes: settings.maxBodyBytes,
    maxJsonBody: settings.maxJsonBody,
    maxQueryValues: settings.maxQueryValues,
    maxWriteValues: settings.maxWriteValues,
  });
}

/** Creates every step once. */
export function createSteps(services: Services, forwarding: Forwarding, state: ServerState): Steps {
  const {
    settings,
    live,
    log,
    accessLog,
    metrics,
    bodies,
    valueBudget,
    atoms,
    revocationWatch,
    isStillAuthenticated,
    isStillPermitted,
  } = services;
  const { storeDatabase, inspectLimitBytes } = settings;
  return {
    recordRequest: recordRequest({
      accessLog,
      metrics,
      lateLines: services.lateLines,
      report: (error, id) => log.error({ err: error, id }, 'fault after an answer'),
    }),
    refuseUnknownAddress: refuseUnknownAddress(live, warnOfGateway(log)),
    applyOriginRules: applyOriginRules(live, settings),
    refuseAmbiguousFraming: refuseAmbiguousFraming(settings),
    readTarget: readTarget(settings),
    classifyRequest: classifyRequest(settings),
    identifyPrincipal: identifyPrincipal(services.authenticators, services.userChanges),
    authorizeOperation: authorizeOperation({
      permissions: services.permissionReader,
      grants: services,
      markDatabase: (database) => services.permissions.mark(database),
      storeDatabase,
      bodies,
      valueBudget,
      atoms,
      inspectLimitBytes,
      maxBodyBytes: settings.maxBodyBytes,
      maxJsonBody: settings.maxJsonBody,
      maxQueryValues: settings.maxQueryValues,
      maxWriteValues: settings.maxWriteValues,
      usersOwnDocument: settings.usersOwnDocument,
      usersSignUp: settings.usersSignUp,
      revocationWatch,
      isStillAuthenticated,
    }),
    guardRequest: guardRequest(createGuards(services, state), isStillPermitted, revocationWatch),
    answerOwnEndpoint: answerOwnEndpoint(createAnswers(services, forwarding, state), revocationWatch),
    forwardToCouch: forwarding.step,
  };
}

/** Creates a handler for each endpoint with `servedBy: couchgate`. */
function createAnswers(services: Services, forwarding: Forwarding, state: ServerState): Answers {
  const { settings, bodies, couch, permissions, keys, log, tokens, credentials, sessionParts } = services;
  const { prefixGrants, creationLimit, isStillPermitted, isStillAuthenticated } = services;
  const tokenFor = tokens.tokenFor.bind(tokens);
  return {
    'temp-view': answerTempView,
    ...sessionHandlers({ ...sessionParts, bodies, credentials }),
    ...nodeTasksHandlers({ couch }),
    ...databaseHandlers({
      prefixGrants,
      creationLimit,
      couch,
      permissions,
      tokenFor,
      log,
      isStillPermitted,
      isStillAuthenticated,
      publicUrl: settings.publicUrl,
    }),
    ...exportHandlers({ connect: exportConnections(services), revocationWatch: services.revocationWatch }),
    ...dashboardHandlers({ place: dashboardPlace(settings), files: services.dashboardFiles }),
    ...legacyHandlers({ bodies, keys, permissions, isStillAuthenticated }),
    ...permissionAnswers(services),
    ...userAnswers(services),
    ...operatorAnswers(services, forwarding, state),
  };
}

/** Keys, grants, lists of databases, and questions about them. */
function permissionAnswers(services: Services) {
  const { settings, bodies, couch, permissions, keys, log, isStillPermitted, isStillAuthenticated } =
    services;
  const { prefixGrants, serverGrants, existingDatabases: existing } = services;
  const { keyRotationOverlapSeconds } = settings;
  const reservedDatabases = ownDatabases(settings.storeDatabase);
  const asked = { couch, keys, index: permissions.index, prefixGrants, reservedDatabases, isStillPermitted };
  const requiresPrecondition = settings.securityWrite === 'require_precondition';
  const forChanges = { bodies, permissions, requiresPrecondition, isStillAuthenticated };
  const names = { couch, keys };
  return {
    ...securityHandlers({ ...forChanges, log, prefixGrants, names }),
    ...securityHistoryHandlers({
      ...forChanges,
      history: services.history,
      reads: new InternalReadLimiter(HISTORY_READS),
    }),
    ...databaseListHandlers({ ...asked, bodies, existing, serverGrants, prefixGrants }),
    ...accessHandlers({
      ...asked,
      permissions,
      existing,
      prefixGrants,
      serverGrants,
      areListsOpen: services.settings.allDbs !== 'owner',
    }),
    ...explainHandlers({
      ...asked,
      bodies,
      permissions: services.permissionReader,
      explainer: createExplainer(services),
      explainerForOthers: createExplainer({ ...services, serverGrants: NO_MONITORS }),
    }),
    ...apiKeyHandlers({
      bodies,
      keys,
      keyRotationOverlapSeconds,
      permissions,
      permissionReader: services.permissionReader,
      log,
      reservedDatabases,
    }),
    ...serverGrantHandlers({ bodies, serverGrants, names, isStillAuthenticated, now: Date.now }),
    ...prefixGrantHandlers({ bodies, prefixGrants, names, isStillAuthenticated, now: Date.now }),
  };
}

/** One's own document of `_users`, and sign-up. */
function userAnswers(services: Services) {
  const { settings, bodies, couch, bus, keys, permissions, isStillPermitted } = services;
  const { prefixGrants, serverGrants, existingDatabases: existing, passwordHashes } = services;
  const ownFields = namesIn(settings.usersOwnFields);
  const writes = new KeyedMutex();
  const common = { bodies, couch, bus, isStillPermitted, ownFields, writes, passwordHashes };
  return {
    ...ownUserHandlers(common),
    ...signUpHandler({
      ...common,
      keys,
      index: permissions.index,
      prefixGrants,
      serverGrants,
      unrecorded: createUnrecordedNames({
        couch,
        bus,
        index: permissions.index,
        existing,
        reservedDatabases: ownDatabases(settings.storeDatabase),
      }),
      limit: services.signUpLimit,
      timing: services.signUpTiming,
    }),
  };
}

/** CORS, addresses, the access log, the cluster and backups. */
function operatorAnswers(services: Services, forwarding: Forwarding, state: ServerState) {
  const { settings, bodies, backups, isStillPermitted } = services;
  const backup = {
    bodies,
    ...backups,
    schedule: settings.backupSchedule,
    keep: settings.backupKeep,
    storeDatabase: settings.storeDatabase,
    isStillPermitted,
  };
  return {
    ...corsConfigHandlers(services),
    ...corsTestHandlers(services),
    ...addressHandlers(services),
    ...logHandlers({ searchLog: logSearch(createLogReader(settings.accessLog, services.accessLog)) }),
    ...clusterHandlers({
      ...services,
      readiness: () => readinessOf(services, state),
      openFeeds: forwarding.openFeeds,
    }),
    ...clusterCheckHandlers({
      installationCheck: new InstallationCheck({ ...services, folders: dataFolders(settings) }),
      isStillPermitted,
    }),
    ...backupHandlers(backup),
    ...backupDocumentHandlers(backup),
  };
}

/** Searches the log by the conditions of a request. */
function logSearch(read: LogReader): LogDeps['searchLog'] {
  return async ({ conditions, limit, cursor, isAborted }) => {
    try {
      const { management, ...others } = Object.fromEntries(conditions) as Record<string, string | undefined>;
      const filter = lineFilter({ ...others, management: management === 'true' }, Date.now());
      return await read({ filter, limit, cursor, isAborted });
    } catch (error) {
      if (error instanceof InvalidCondition) throw new BadRequest(`\`${error.condition}\` ${error.problem}`);
      if (error instanceof InvalidCursor) throw new BadRequest('`cursor` is not one of this log');
      throw error;
    }
  };
}

/** Creates a check for each endpoint with `servedBy: guard`. */
function createGuards(services: Services, state: ServerState): Guards {
  const { settings, bodies, couch, keys, bus, nodeUrls } = services;
  const { publicUrl, replicationHosts } = settings;
  const limitBytes = GUARDED_LIMIT_BYTES;
  const replication = guardReplication({
    bodies,
    couch,
    publicUrl,
    couchdbNodes: nodeUrls,
    replicationHosts,
    limitBytes,
  });
  return {
    up: guardUp(state),
    replicate: replication,
    'replicator-write': replication,
    'users-any': guardUsers({ bodies, couch, keys, bus, limitBytes }),
  };
}

/** The names of a comma-separated list. */
function namesIn(list: string): readonly string[] {
  return list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
