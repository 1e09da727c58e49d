// Creates the HTTP and HTTPS listeners with their limits.
import http, { type RequestListener, type Server, type ServerOptions } from 'node:http';
import https from 'node:https';
import { type AddressInfo } from 'node:net';
import { type Express } from 'express';
import {
  ListenError,
  parseListenAddress,
  type ListenAddress,
  type ListenSetting,
} from '../config/listen-address.ts';
import { type OperationalLog } from '../config/operational-log.ts';
import { type Settings } from '../config/settings.ts';
import { deferContinue } from './expect-continue.ts';
import { messageClasses } from './messages.ts';
import { serializePipelining } from './serialize-pipelining.ts';
import { redirectToHttps } from './redirect.ts';
import {
  cutIdleClients,
  refuseWhatIsNoRequest,
  type RefusalLog,
  sparingLog,
  withoutUpgrades,
} from './refusals.ts';
import { withSecurityHeaders } from './security-headers.ts';
import { closeInStages } from './staged-close.ts';
import { readTlsFiles, replaceCertificate } from './tls.ts';

export type ListenSettings = Pick<
  Settings,
  | 'listen'
  | 'tlsListen'
  | 'tlsCertificate'
  | 'tlsKey'
  | 'tlsClientCa'
  | 'tlsRedirect'
  | 'hstsSeconds'
  | 'dashboard'
  | 'dashboardListen'
  | 'publicUrl'
  | 'wwwAuthenticate'
  | 'maxHeaderBytes'
  | 'headerTimeoutMs'
  | 'clientIdleTimeoutMs'
  | 'clientKeepaliveMs'
>;

export interface Listeners {
  readonly servers: readonly Server[];
  /**
   * Opens every listener and resolves with the URLs, for example `http://127.0.0.1:5984`. Rejects if one
   * cannot be opened.
   */
  open(): Promise<readonly string[]>;
  /** Loads the certificate files again. Throws, and changes nothing, if certificate and key do not match. */
  reloadCertificate(files: Pick<Settings, 'tlsCertificate' | 'tlsKey' | 'tlsClientCa'>): void;
}

export interface ListenParameters {
  readonly app: Express;
  readonly settings: ListenSettings;
  readonly log: OperationalLog;
}

/** Creates the servers without opening them. Throws if the certificate files are missing or do not match. */
export function createListeners({ app, settings, log }: ListenParameters): Listeners {
  const refusals = sparingLog(log);
  const secure = createSecureServer(app, settings, refusals);
  const plain = createPlainServer(app, settings, secure, refusals);
  const dashboard = createDashboardServer(app, settings, refusals);
  const places: readonly (readonly [Server | undefined, ListenSetting, string])[] = [
    [plain, 'listen', settings.listen],
    [secure, 'tls_listen', settings.tlsListen],
    [dashboard, 'dashboard_listen', settings.dashboardListen],
  ];
  const opened = places.flatMap(([server, setting, address]) => {
    const place = parseListenAddress(address);
    return server === undefined || place === undefined ? [] : [{ server, setting, address, place }];
  });
  for (const { server } of opened) {
    // By default Node silently drops headers after the thousandth; checks would not see what CouchDB might
    // get.
    server.maxHeadersCount = 0;
    refuseWhatIsNoRequest(server, refusals);
    deferContinue(server);
    closeInStages(server);
    cutIdleClients(server, settings.clientIdleTimeoutMs, refusals);
  }
  return {
    servers: opened.map(({ server }) => server),
    open: () => Promise.all(opened.map((each) => open(each, log))),
    reloadCertificate(files) {
      for (const server of [secure, dashboard])
        if (server instanceof https.Server) replaceCertificate(server, readTlsFiles(files));
    },
  };
}

function serverOptions(app: Express, settings: ListenSettings): ServerOptions {
  return {
    ...messageClasses(app, settings),
    maxHeaderSize: settings.maxHeaderBytes,
    headersTimeout: settings.headerTimeoutMs,
    keepAliveTimeout: settings.clientKeepaliveMs,
    // A large attachment may take hours, so the total time is unlimited; cutIdleClients limits silence.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(settings.headerTimeoutMs, 5000),
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    // The strict parser (H15) refuses bare line feeds, two lengths, and Content-Length with
    // Transfer-Encoding.
    insecureHTTPParser: false,
  };
}

function createPlainServer(
  app: Express,
  settings: ListenSettings,
  secure: Server | undefined,
  refusals: RefusalLog,
): Server | undefined {
  if (settings.listen === 'off') return undefined;
  const serve = serializePipelining(withoutUpgrades(app), refusals);
  const listener: RequestListener = settings.tlsRedirect
    ? redirectToHttps({
        publicUrl: settings.publicUrl,
        port: () => (secure?.address() as AddressInfo | null)?.port ?? 443,
        log: refusals,
        probe: serve,
      })
    : serve;
  return http.createServer(serverOptions(app, settings), withSecurityHeaders({ hstsSeconds: 0 }, listener));
}

function createSecureServer(
  app: Express,
  settings: ListenSettings,
  refusals: RefusalLog,
): https.Server | undefined {
  if (settings.tlsListen === 'off') return undefined;
  return https.createServer(
    secureOptions(app, settings),
    withSecurityHeaders(
      { hstsSeconds: settings.hstsSeconds },
      serializePipelining(withoutUpgrades(app), refusals),
    ),
  );
}

function secureOptions(app: Express, settings: ListenSettings): https.ServerOptions {
  const demandsCertificates = settings.tlsClientCa !== '';
  return {
    ...serverOptions(app, settings),
    ...readTlsFiles(settings),
    requestCert: demandsCertificates,
    rejectUnauthorized: demandsCertificates,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: settings.headerTimeoutMs,
  };
}

/** The listener of the dashboard alone: HTTPS if there is a certificate. */
function createDashboardServer(
  app: Express,
  settings: ListenSettings,
  refusals: RefusalLog,
): Server | undefined {
  if (settings.dashboardListen === 'off' || settings.dashboard === 'off') return undefined;
  const hasTls = settings.tlsCertificate !== '';
  const listener = withSecurityHeaders(
    { hstsSeconds: hasTls ? settings.hstsSeconds : 0, isForDashboard: true },
    serializePipelining(withoutUpgrades(app), refusals),
  );
  return hasTls
    ? https.createServer(secureOptions(app, settings), listener)
    : http.createServer(serverOptions(app, settings), listener);
}

interface Opening {
  readonly server: Server;
  readonly setting: ListenSetting;
  readonly address: string;
  readonly place: ListenAddress;
}

function open({ server, setting, address, place }: Opening, log: OperationalLog): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(new ListenError(setting, address, error));
    server.once('error', fail);
    server.listen({ host: place.host, port: place.port, backlog: 511 }, () => {
      server.off('error', fail);
      // A failed accept (no free file descriptor) must not end the process.
      server.on('error', (error) => log.error({ err: error }, 'cannot accept a connection'));
      const { address: host, port, family } = server.address() as AddressInfo;
      const scheme = server instanceof https.Server ? 'https' : 'http';
      resolve(`${scheme}://${family === 'IPv6' ? `[${host}]` : host}:${port}`);
    });
  });
}
