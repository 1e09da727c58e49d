// Runs one serving process: creates services and listeners, reloads settings, drains.
import { type Server } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { type Express } from 'express';
import { createApp } from './app.ts';
import { openAccessLog, type AccessLog } from './audit/access-log.ts';
import { LateLines } from './audit/late-lines.ts';
import { type Readiness } from './audit/metrics-server.ts';
import { createRegistry } from './audit/metrics.ts';
import { RequestMetrics } from './audit/request-metrics.ts';
import { type OperationalLog } from './config/operational-log.ts';
import { watchSettings, type LiveSettings, type WatchState } from './config/reload.ts';
import { type Environment } from './config/sources.ts';
import { type Settings } from './config/settings.ts';
import { type Forwarding } from './forward/index.ts';
import { drainServer } from './listen/drain.ts';
import { createListeners, type Listeners } from './listen/server.ts';
import { type WorkerChannel } from './cluster/worker-channel.ts';
import { readinessOf, type ServerState } from './readiness.ts';
import { serviceMetrics } from './service-metrics.ts';
import { createServices, type Overrides, type Services } from './services.ts';
import { createForward, createSteps } from './steps.ts';

export interface RunParameters {
  readonly settings: Settings;
  readonly env: Environment;
  /** URLs of the CouchDB nodes, or of the embedded node if none are configured. */
  readonly nodeUrls: readonly string[];
  readonly jwtSecret: Buffer;
  readonly sessionSecret: Buffer;
  readonly log: OperationalLog;
  readonly workerChannel: WorkerChannel;
  /** The state of the watcher that these settings are from; what changed since is applied at once. */
  readonly resumed?: WatchState;
  /** True if several processes write to the same access log. */
  readonly sharesLog: boolean;
  /** Replaces the access log of the settings. */
  readonly accessLog?: AccessLog;
  readonly overrides?: Overrides;
}

export interface Running {
  /** For example `http://127.0.0.1:5984`. */
  readonly addresses: readonly string[];
  readonly services: Services;
  readonly servers: readonly Server[];
  readonly registry: ReturnType<typeof createRegistry>;
  readonly metrics: () => Promise<string>;
  readonly readiness: () => Readiness;
  /** Reads the configuration files again and reopens the access log, as on SIGHUP. */
  reload(): void;
  /**
   * Drains as on SIGTERM: readiness off, running requests finish, feeds end. After `drain_timeout_seconds`
   * the remaining connections are closed.
   */
  drain(): Promise<void>;
}

/**
 * Time, in ms, that `start` waits for the change feeds before it opens the listeners. Clients that get 503 in
 * the first second retry much later.
 */
const BUS_WAIT_MS = 5000;

/**
 * Starts serving. Rejects if a file, a certificate or a listen address cannot be used. Starts also if CouchDB
 * is not available.
 */
export async function run(parameters: RunParameters): Promise<Running> {
  const serving = new ServingProcess(parameters);
  await serving.start();
  return serving;
}

/** The parts of a serving process, and their start and end. */
class ServingProcess implements Running {
  readonly #parameters: RunParameters;
  readonly #accessLog: AccessLog;
  readonly #live: LiveSettings;
  readonly #forwarding: Forwarding;
  readonly #listeners: Listeners;
  readonly services: Services;
  readonly registry: ReturnType<typeof createRegistry>;
  #isDraining = false;
  readonly #state: ServerState = {
    isDraining: () => this.#isDraining,
    canServe: () => this.services.nodes.usable,
  };
  addresses: readonly string[] = [];

  constructor(parameters: RunParameters) {
    const { settings, resumed, env, log, sharesLog } = parameters;
    this.#parameters = parameters;
    this.#accessLog =
      parameters.accessLog ??
      openAccessLog({
        target: settings.accessLog,
        policy: settings.accessLogPolicy,
        log,
        shared: sharesLog,
      });
    this.#live = watchSettings({
      initial: settings,
      resumed,
      env,
      log,
      acceptCertificates: (next) => this.#listeners.reloadCertificate(next),
    });
    this.#live.onChange((next) => (log.level = next.logLevel));
    const metrics = new RequestMetrics();
    const inputs = {
      ...parameters,
      live: this.#live,
      accessLog: this.#accessLog,
      metrics,
      lateLines: new LateLines(),
    };
    this.services = createServices(inputs, parameters.overrides);
    this.#forwarding = createForward(this.services);
    this.#listeners = createListeners({ app: this.#createApp(), settings, log });
    this.registry = createRegistry(metrics, serviceMetrics(this.services, this.#forwarding, this.#live));
  }

  async start(): Promise<void> {
    const { services } = this;
    // What has changed since the settings were read, before anybody is served by them.
    if (this.#parameters.resumed !== undefined) this.#live.reload();
    await services.start();
    await untilTrue(() => services.bus.up, BUS_WAIT_MS);
    this.addresses = await this.#listeners.open();
    this.#parameters.workerChannel.ready();
  }

  readonly metrics = (): Promise<string> => this.registry.metrics();

  readonly readiness = (): Readiness => readinessOf(this.services, this.#state);

  reload(): void {
    this.#accessLog.reopen();
    this.#live.reload();
  }

  async drain(): Promise<void> {
    const { settings, log } = this.#parameters;
    const { cut } = await drainServer({
      servers: this.#listeners.servers,
      readinessOff: () => (this.#isDraining = true),
      endFeeds: this.#forwarding.endFeeds,
      delayMs: settings.drainDelaySeconds * 1000,
      timeoutMs: settings.drainTimeoutSeconds * 1000,
    });
    log.info({ cut }, 'all connections closed');
    this.#live.close();
    this.#forwarding.close();
    await this.services.close();
    this.services.lateLines.flush();
    await this.#accessLog.close(1000);
  }

  get servers(): readonly Server[] {
    return this.#listeners.servers;
  }

  #createApp(): Express {
    const { log } = this.#parameters;
    const steps = createSteps(this.services, this.#forwarding, this.#state);
    return createApp(steps, (error, id) => log.error({ err: error, id }, 'unhandled error in request'));
  }
}

/** Resolves when `condition` is true, or after `limitMs`. */
async function untilTrue(condition: () => boolean, limitMs: number): Promise<void> {
  const limit = performance.now() + limitMs;
  while (!condition() && performance.now() < limit) await wait(20);
}
