// Starts Couchgate as configured: secrets, the embedded node if no CouchDB is configured, one process or
// several, signals.
import cluster from 'node:cluster';
import { join, resolve } from 'node:path';
import { createOperationalLog } from './audit/operational-log.ts';
import { openMetricsServer, type Readiness } from './audit/metrics-server.ts';
import { offerToPrimary, readWorkers } from './audit/metrics.ts';
import { loadConfiguration, type Configuration } from './config/load.ts';
import { probeListener } from './config/listen-address.ts';
import { type OperationalLog } from './config/operational-log.ts';
import { stateAtStart, watchSettings, type LiveSettings, type WatchState } from './config/reload.ts';
import { readOrMakeSecrets, type Secrets } from './config/secrets.ts';
// `import type` is erased. An import with an inline `type` would load the module at run time.
import type { RunningEmbeddedNode } from './embedded/index.ts';
import { NO_WORKERS, createWorkerChannel, type WorkerChannel } from './cluster/worker-channel.ts';
import { startWorkers, workerCount, type WorkerPool } from './cluster/worker-pool.ts';
import { EMBEDDED_OPTION } from './embedded-option.ts';
import { HangUps } from './hang-up.ts';
import { hasHttps, readTlsFiles } from './listen/tls.ts';
import { run, type Running } from './run.ts';
import { welcome } from './welcome.ts';
import { createObjectsYoung } from './young-objects.ts';

/** What a serving process starts with. */
interface Start {
  readonly env: NodeJS.ProcessEnv;
  readonly log: OperationalLog;
  /** The settings, and what was read of their files. */
  readonly watched: WatchState;
  readonly secrets: Pick<Secrets, 'jwtSecret' | 'sessionSecret'>;
  readonly nodeUrls: readonly string[];
}

interface FirstStart extends Start {
  readonly configuration: Configuration;
  readonly secrets: Secrets;
  readonly hangUps: HangUps;
}

/** What the primary hands to its workers: one that replaces another must serve by the same rules (H41). */
type WorkerStart = Pick<Start, 'watched' | 'secrets'>;

/**
 * Serves until a signal ends it; resolves with the exit code. Rejects if it cannot start; main.ts prints the
 * error as one line.
 */
export function serve(env: NodeJS.ProcessEnv): Promise<number> {
  createObjectsYoung();
  return cluster.isWorker ? serveAsWorker(env) : serveFirst(env);
}

/** Starts the process that the operator starts: it serves alone, or starts the workers. */
async function serveFirst(env: NodeJS.ProcessEnv): Promise<number> {
  const hangUps = new HangUps();
  const configuration = loadConfiguration({ env });
  const { settings } = configuration;
  const watched = stateAtStart(configuration, env);
  const log = createOperationalLog(settings.logLevel);
  endOnFault(log);
  // Before anything is created: a start that fails must not have shown a password that the next one hides.
  await probeListeners(configuration);
  const secrets = readOrMakeSecrets(settings);
  for (const warning of [...configuration.warnings, ...secrets.warnings])
    log.warn({ warning }, 'configuration warning');
  const common = { configuration, env, log, watched, secrets, hangUps };
  const embedded = settings.couchdbNodes.length === 0 ? await startEmbedded(common) : undefined;
  const start = { ...common, nodeUrls: embedded === undefined ? settings.couchdbNodes : [embedded.url] };
  try {
    const count = workerCount(settings.workers);
    return await (count === 1 ? serveAlone(start) : serveWithWorkers(start, count));
  } finally {
    await embedded?.close();
  }
}

/**
 * Ends the process on an error that nothing handles: what state it left is unknown. Node would do so too, but
 * prints every field of the error, with requests and their credentials (M5). The log gets its name, message,
 * code and stack.
 */
function endOnFault(log: OperationalLog): void {
  let isEnding = false;
  process.on('uncaughtException', (error) => {
    // Thrown by what runs at the end of the process: it would be called again, without end.
    if (isEnding) process.kill(process.pid, 'SIGKILL');
    isEnding = true;
    log.error({ error }, 'an error that nothing handles ends the process');
    process.exit(1);
  });
}

/** Rejects with a ListenError if an address that the operator chose is taken. */
async function probeListeners({ settings, sourceOf }: Configuration): Promise<void> {
  await probeListener('listen', settings.listen);
  await probeListener('tls_listen', settings.tlsListen);
  if (settings.dashboard !== 'off') await probeListener('dashboard_listen', settings.dashboardListen);
  // The default port of the metrics may be taken: Couchgate then starts without them.
  if (sourceOf.has('metrics_listen')) await probeListener('metrics_listen', settings.metricsListen);
}

/** Starts the embedded node. The import on demand keeps PouchDB and QuickJS out of other processes. */
async function startEmbedded({
  configuration: { settings },
  secrets,
  log,
}: Omit<FirstStart, 'nodeUrls'>): Promise<RunningEmbeddedNode> {
  const { startEmbeddedNode } = await import('./embedded/index.ts');
  const jwtKeys = { [settings.jwtKid]: Buffer.from(secrets.jwtSecret, 'base64') };
  const owner = { name: settings.owner, password: secrets.ownerPassword };
  log.warn(
    { config_folder: resolve(settings.configFolder) },
    'no couchdb_nodes configured: starting the embedded node, for evaluation and tests only, not for production',
  );
  return startEmbeddedNode({
    folder: join(settings.data, 'embedded'),
    owner,
    jwtKeys,
    log: (message, fields = {}) => log.error({ part: 'embedded node', ...fields }, message),
  });
}

async function serveAlone(start: FirstStart): Promise<number> {
  const running = await runHere(start, NO_WORKERS);
  await openMetrics(start, running.metrics, running.readiness);
  showWelcome(start, running.addresses, await hasKeys(running));
  start.hangUps.onReload(() => running.reload());
  await terminated();
  await running.drain();
  return 0;
}

async function serveAsWorker(env: NodeJS.ProcessEnv): Promise<number> {
  const log = createOperationalLog('info');
  endOnFault(log);
  const workerChannel = createWorkerChannel({ channel: process });
  const { watched, secrets } = (await workerChannel.askStart()) as WorkerStart;
  log.level = watched.current.logLevel;
  const url = process.argv
    .find((argument) => argument.startsWith(EMBEDDED_OPTION))
    ?.slice(EMBEDDED_OPTION.length);
  const nodeUrls = url === undefined ? watched.current.couchdbNodes : [url];
  const running = await runHere({ env, log, watched, secrets, nodeUrls }, workerChannel);
  offerToPrimary(running.registry);
  workerChannel.onRequest('readiness', running.readiness);
  workerChannel.onRequest('addresses', () => running.addresses);
  workerChannel.onRequest('has keys', () => hasKeys(running));
  workerChannel.onReload(() => running.reload());
  // Ctrl-C and a hang-up signal the whole process group. Only the primary acts on them.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  await new Promise<void>((resolve) => {
    workerChannel.onDrain(resolve);
    // systemd sends SIGTERM to every process of a service. The default action would abort running requests.
    process.on('SIGTERM', () => resolve());
  });
  await running.drain();
  return 0;
}

async function serveWithWorkers(start: FirstStart, count: number): Promise<number> {
  const { log, secrets, hangUps } = start;
  const { settings } = start.configuration;
  const [embedded] = settings.couchdbNodes.length === 0 ? start.nodeUrls : [];
  if (embedded !== undefined)
    cluster.setupPrimary({ args: [...process.argv.slice(2), `${EMBEDDED_OPTION}${embedded}`] });
  const drainMs = (settings.drainDelaySeconds + settings.drainTimeoutSeconds) * 1000;
  const live = watchForWorkers(start);
  const workerStart = (): WorkerStart => ({ watched: live.state(), secrets });
  const workers = startWorkers({ count, drainMs, log, workerStart });
  await openMetrics(start, readWorkers(), () => combinedReadiness(workers, count));
  void workers.serving.then(async () => {
    const [addresses] = await workers.request('addresses');
    const [known] = await workers.request('has keys');
    if (Array.isArray(addresses)) showWelcome(start, addresses as readonly string[], known !== false);
  });
  hangUps.onReload(() => {
    live.reload();
    workers.reload();
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => workers.drain());
  try {
    return await workers.ended;
  } finally {
    live.close();
  }
}

/** Reads the files as the workers do, for those that start later. The workers log what they find. */
function watchForWorkers({ env, log, watched }: FirstStart): LiveSettings {
  const live = watchSettings({
    initial: watched.current,
    resumed: watched,
    env,
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    acceptCertificates: (next) => {
      if (hasHttps(next)) readTlsFiles(next);
    },
  });
  live.onChange((next) => (log.level = next.logLevel));
  return live;
}

/** True unless the store is readable and has no API key: then the guide for the first key is shown. */
async function hasKeys({ services }: Running): Promise<boolean> {
  return services.keys.hasAny().catch(() => true);
}

function showWelcome(
  { configuration: { settings, secretFiles }, secrets }: FirstStart,
  addresses: readonly string[],
  knowsKeys: boolean,
): void {
  const passwordFile = secretFiles.get('owner_password');
  welcome({ settings, secrets, addresses, hasKeys: knowsKeys, passwordFile });
}

/** Combines the readiness of all workers: one ready worker is enough. */
async function combinedReadiness(workers: WorkerPool, count: number): Promise<Readiness> {
  const answers = (await workers.request('readiness')) as readonly Readiness[];
  const ready = answers.filter((answer) => answer.ready);
  return {
    ready: ready.length > 0,
    checks: { ...(ready[0] ?? answers[0])?.checks, workers: count, workers_ready: ready.length },
  };
}

function runHere(
  { env, log, watched, secrets, nodeUrls }: Start,
  workerChannel: WorkerChannel,
): Promise<Running> {
  return run({
    settings: watched.current,
    resumed: watched,
    env,
    nodeUrls,
    jwtSecret: Buffer.from(secrets.jwtSecret, 'base64'),
    sessionSecret: Buffer.from(secrets.sessionSecret, 'base64'),
    log,
    workerChannel,
    sharesLog: cluster.isWorker,
  });
}

async function openMetrics(
  start: FirstStart,
  metrics: () => Promise<string>,
  readiness: () => Readiness | Promise<Readiness>,
): Promise<void> {
  const { settings, sourceOf } = start.configuration;
  const server = await openMetricsServer({
    address: settings.metricsListen,
    chosen: sourceOf.has('metrics_listen'),
    metrics,
    readiness,
    log: start.log,
  });
  if (server !== undefined) start.log.info({ url: server.url }, 'metrics listener is open');
}

/** Resolves on the first SIGTERM or SIGINT. A second one ends the process immediately. */
function terminated(): Promise<void> {
  return new Promise((resolve) => {
    let isTerminating = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (isTerminating) process.exit(1);
        isTerminating = true;
        resolve();
      });
    }
  });
}
