// The compose command of a container engine, and one stack that it runs for a test.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '../..');
const COMMAND = (process.env['COUCHGATE_COMPOSE'] ?? '').split(' ').filter((word) => word !== '');
/** Building the image and starting three nodes takes minutes on a slow machine. */
const LIMIT_MS = 15 * 60_000;

const run = promisify(execFile);

/** Why the tests of the stack are skipped; `false` if `COUCHGATE_COMPOSE` names the command of an engine. */
export const withoutEngine =
  COMMAND.length === 0 && 'COUCHGATE_COMPOSE names no compose command, for example "docker compose"';

/** What a command printed and the code it ended with. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The stack of docker-compose.yml as a project of its own, on a free port of loopback. */
export interface Stack {
  /** Runs a compose command, such as `up -d`, and waits for its end. A failure is a result, not an error. */
  compose(...words: readonly string[]): Promise<Ended>;
  /** Like `compose`, with the settings of another compose file on top. */
  composeWith(file: string, ...words: readonly string[]): Promise<Ended>;
  /** Runs a command of the engine itself, such as `kill`. A failure is a result, not an error. */
  engine(...words: readonly string[]): Promise<Ended>;
  /** Resolves with the id of the container that runs a service, or with an empty text. */
  containerOf(service: string): Promise<string>;
  /** Resolves with the health that the engine reports: `healthy`, `unhealthy`, `starting`. */
  healthOf(service: string): Promise<string>;
  /** Resolves with the address of the host that Couchgate is published on, as `host:port`. */
  published(): Promise<string>;
  /** Resolves with the names of all volumes of the engine. */
  volumes(): Promise<readonly string[]>;
}

/** Describes the stack of one project name; starts nothing. */
export function stackOf(project: string): Stack {
  const env = {
    ...process.env,
    COMPOSE_PROJECT_NAME: project,
    COUCHGATE_PORT: '127.0.0.1:0',
  };
  const ended = async (command: string, args: readonly string[], more: NodeJS.ProcessEnv): Promise<Ended> => {
    const limits = { cwd: ROOT, env: { ...env, ...more }, timeout: LIMIT_MS, maxBuffer: 64 * 1024 * 1024 };
    try {
      return { code: 0, ...(await run(command, args, limits)) };
    } catch (error) {
      const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string };
      return { code: typeof code === 'number' ? code : -1, stdout: stdout ?? '', stderr: stderr ?? '' };
    }
  };
  const [command = '', ...first] = COMMAND;
  const compose = (...words: readonly string[]): Promise<Ended> => ended(command, [...first, ...words], {});
  const composeWith = (file: string, ...words: readonly string[]): Promise<Ended> =>
    ended(command, [...first, ...words], { COMPOSE_FILE: `docker-compose.yml:${file}` });
  const engine = (...words: readonly string[]): Promise<Ended> => ended('docker', words, {});
  const containerOf = async (service: string): Promise<string> =>
    (await compose('ps', '-q', service)).stdout.trim();
  return {
    compose,
    composeWith,
    engine,
    containerOf,
    async healthOf(service) {
      const container = await containerOf(service);
      if (container === '') return '';
      return (await engine('inspect', '-f', '{{.State.Health.Status}}', container)).stdout.trim();
    },
    async published() {
      return (await compose('port', 'couchgate', '5984')).stdout.trim();
    },
    async volumes() {
      return (await engine('volume', 'ls', '-q')).stdout.trim().split('\n');
    },
  };
}
