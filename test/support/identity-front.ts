// Starts one replica of Couchgate for authentication tests: with a chosen client address, an optional session
// clock, and without the delay of refusals.
import { randomBytes } from 'node:crypto';
import { type Settings } from '../../src/config/settings.ts';
import { NO_WORKERS } from '../../src/cluster/worker-channel.ts';
import { run } from '../../src/run.ts';
import { type Services } from '../../src/services.ts';
import { makeConfigFolder } from './config-folder.ts';
import { rememberingLog } from './log.ts';
import { memoryAccessLog } from './memory-access-log.ts';
import { type CouchAccess } from './own-couch.ts';
import { testSettings } from './settings.ts';

export interface IdentityFront {
  readonly url: string;
  readonly replica: Pick<Services, 'couch' | 'keys'>;
  /** Client address of the next requests, and whether they use TLS. */
  address: string;
  secure: boolean;
  close(): Promise<void>;
}

export interface IdentityFrontSetup {
  readonly settings?: Partial<Settings>;
  /** Shared by the replicas of one Couchgate. */
  readonly sessionSecret?: Buffer;
  /** Clock of the sessions only, in ms since 1970. */
  readonly now?: () => number;
  readonly refusalQuantumMs?: number;
}

/** Starts a replica and waits until its invalidation feed is up. */
export async function startIdentityFront(
  access: CouchAccess,
  { settings, sessionSecret, now, refusalQuantumMs }: IdentityFrontSetup = {},
): Promise<IdentityFront> {
  const config = makeConfigFolder();
  const running = await run({
    settings: testSettings({
      metricsListen: 'off',
      jwtKid: access.kid,
      trustedProxies: ['127.0.0.1/32'],
      configFolder: config.path,
      drainTimeoutSeconds: 0,
      ...settings,
    }),
    env: config.env,
    nodeUrls: access.urls,
    jwtSecret: Buffer.from(access.jwtSecretBase64, 'base64'),
    sessionSecret: sessionSecret ?? randomBytes(32),
    log: rememberingLog(),
    workerChannel: NO_WORKERS,
    sharesLog: false,
    accessLog: memoryAccessLog(),
    overrides: {
      refusalQuantumMs: refusalQuantumMs ?? 0,
      ...(now === undefined ? {} : { sessionClock: now }),
    },
  });
  const front = { address: '192.0.2.1', secure: false };
  // Simulates a trusted proxy, which would add these headers.
  for (const server of running.servers)
    server.prependListener('request', ({ headers }) => {
      headers['x-forwarded-for'] = front.address;
      headers['x-forwarded-proto'] = front.secure ? 'https' : 'http';
    });
  return Object.assign(front, {
    url: running.addresses[0] ?? '',
    replica: running.services,
    async close() {
      for (const server of running.servers) server.closeAllConnections();
      await running.drain();
      config.remove();
    },
  });
}

/** An `authorization: Basic` header. */
export function basic(name: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
}
