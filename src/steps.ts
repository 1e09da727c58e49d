// Builds the steps of a request and the handlers of Couchgate's own endpoints out of the services. Their order is app.ts's business.
import { refuseUnknownAddress } from './admit/address.ts';
import { refuseAmbiguousFraming } from './admit/framing.ts';
import { answerPreflight } from './admit/origin.ts';
import { readTarget } from './admit/target.ts';
import { type Steps } from './app.ts';
import { recordRequest } from './audit/record.ts';
import {
  createBasicAuthenticator,
  createCookieAuthenticator,
  identifyPrincipal,
} from './authenticate/index.ts';
import { authorizeOperation } from './authorize/index.ts';
import { classifyRequest } from './classify/index.ts';
import { createForwarding, type Forwarding } from './forward/index.ts';
import { createApiKeyHandlers } from './handle/api-keys.ts';
import { corsConfigHandlers } from './handle/cors-config.ts';
import { databaseHandlers } from './handle/database.ts';
import { answerOwnEndpoint, type Handlers } from './handle/index.ts';
import { createLegacyHandlers } from './handle/legacy.ts';
import { forwardGuardedReplication, guardReplication } from './handle/replication.ts';
import { securityHandlers } from './handle/security.ts';
import { sessionHandlers } from './handle/session.ts';
import { answerTempView } from './handle/temp-view.ts';
import { answerUp } from './handle/up.ts';
import { usersHandlers } from './handle/users.ts';
import { type Services } from './services.ts';

/** What the process says of itself to whoever asks. */
export interface Condition {
  readonly isDraining: () => boolean;
  readonly canServe: () => boolean;
}

export function createForward({ settings, nodes, identity, openFeeds }: Services): Forwarding {
  return createForwarding({
    nodes,
    identity,
    openFeeds,
    publicUrl: settings.publicUrl,
    multipartTimeoutMs: settings.couchdbMultipartTimeoutMs,
    maxBodyBytes: settings.maxBodyBytes,
  });
}

/** One of each, made once. */
export function createSteps(services: Services, forwarding: Forwarding, condition: Condition): Steps {
  const { settings, live, accessLog, metrics, security, sessionParts, openFeeds } = services;
  const { storeDatabase, inspectLimitBytes } = settings;
  return {
    recordRequest: recordRequest({ accessLog, metrics }),
    refuseUnknownAddress: refuseUnknownAddress(live),
    answerPreflight: answerPreflight(live),
    refuseAmbiguousFraming: refuseAmbiguousFraming(settings),
    readTarget: readTarget(settings),
    classifyRequest: classifyRequest(settings),
    identifyPrincipal: identifyPrincipal([
      createBasicAuthenticator(services.credentials),
      createCookieAuthenticator({ ...sessionParts, keys: services.keys }),
    ]),
    authorizeOperation: authorizeOperation({
      permissions: security,
      storeDatabase,
      inspectLimitBytes,
      openFeeds,
    }),
    answerOwnEndpoint: answerOwnEndpoint(createHandlers(services, condition)),
    forwardToCouch: forwarding.step,
  };
}

/** Handlers by catalogue id. */
export function createHandlers(services: Services, condition: Condition): Handlers {
  const { settings, couch, security, keys, news, log, identity, credentials, sessionParts, nodeUrls } =
    services;
  const { publicUrl, inspectLimitBytes: limitBytes, keyRotationOverlapSeconds } = settings;
  const { replicationHosts } = settings;
  const replicate = forwardGuardedReplication(
    guardReplication({ couch, publicUrl, couchdbNodes: nodeUrls, replicationHosts, limitBytes }),
  );
  const tokenFor = identity.tokenFor.bind(identity);
  return {
    up: answerUp(condition),
    'temp-view': answerTempView,
    replicate,
    'replicator-write': replicate,
    ...sessionHandlers({ ...sessionParts, credentials }),
    ...securityHandlers({ security }),
    ...databaseHandlers({ couch, security, tokenFor, publicUrl, log }),
    ...usersHandlers({ couch, keys, news, limitBytes }),
    ...createApiKeyHandlers({ keys, keyRotationOverlapSeconds }),
    ...corsConfigHandlers(services),
    ...createLegacyHandlers({ keys, permissions: security }),
  };
}
