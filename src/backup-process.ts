// The backup process: a child of a serving process that reads and writes the repository, so that no request
// waits for it. It gets its settings in the first message, and ends with its parent.
import { existsSync, readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { answerQuestion, type QuestionContext } from './backup/questions.ts';
import { Cancelled, NoRepository } from './backup/errors.ts';
import { failureOf } from './backup/failure.ts';
import { openOrCreateRepository, openRepository, type Repository } from './backup/repository.ts';
import { runJob } from './backup/run-job.ts';
import { SnapshotCache } from './backup/snapshot-cache.ts';
import type {
  FromProcess,
  JobRequest,
  ProcessSettings,
  Question,
  ToProcess,
} from './backup/process-protocol.ts';
import { type BackupSecret } from './backup/cipher.ts';
import { openTarget } from './backup/open-target.ts';
import { createTransfer, type CouchTransfer } from './couch/transfer.ts';
import { createTokenMinter } from './identity/token-minter.ts';

/** Linux: the threads of this process. */
const THREADS = '/proc/self/task';
/** Progress is sent at most this often. */
const PROGRESS_MS = 500;
/** Time for a job to end its batch after the parent is gone. */
const ORPHAN_MS = 20_000;

class BackupProcess {
  readonly #settings: ProcessSettings;
  readonly #couch: CouchTransfer;
  readonly #snapshots = new SnapshotCache();
  readonly #stop = new AbortController();
  #repository: Promise<Repository> | undefined = undefined;
  #lastProgress = 0;
  isWorking = false;

  constructor(settings: ProcessSettings) {
    this.#settings = settings;
    this.#couch = openTransfer(settings);
  }

  cancel(): void {
    this.#stop.abort();
  }

  async ask(id: number, question: Question): Promise<void> {
    try {
      const repository = await this.#open(false);
      const { storeDatabase } = this.#settings;
      const context: QuestionContext = {
        couch: this.#couch,
        repository,
        snapshots: this.#snapshots,
        storeDatabase,
      };
      send({ type: 'answer', id, ...(await answerQuestion(context, question)) });
    } catch (error) {
      send({ type: 'refused', id, failure: failureOf(error) });
    }
  }

  async run(job: JobRequest): Promise<void> {
    const context = {
      settings: this.#settings,
      couch: this.#couch,
      target: openTarget(this.#settings.target, this.#settings.connectTimeoutMs),
      repository: (create: boolean) => this.#open(create),
      onEvent: (event: Extract<FromProcess, { type: 'event' }>['event']) => {
        if (event.type === 'progress') {
          if (performance.now() - this.#lastProgress < PROGRESS_MS) return;
          this.#lastProgress = performance.now();
        }
        send({ type: 'event', event });
      },
      onResult: (result: Extract<FromProcess, { type: 'result' }>['result']) =>
        send({ type: 'result', result }),
      signal: this.#stop.signal,
    };
    this.isWorking = true;
    try {
      send({ type: 'ended', exitCode: await runJob(context, job) });
    } catch (error) {
      const cause = this.#stop.signal.aborted ? new Cancelled('The job was cancelled.') : error;
      const failure = failureOf(cause);
      send({ type: 'ended', exitCode: failure.exitCode, failure });
    } finally {
      this.isWorking = false;
      if (!process.connected) process.exit(0);
    }
  }

  /** The key is derived once. A repository that another process replaces is found again by its folder. */
  #open(create: boolean): Promise<Repository> {
    const { repository: folder } = this.#settings;
    if (folder === '') throw new NoRepository('No repository: set backup_repository.');
    const secret = secretOf(this.#settings);
    this.#repository ??= create
      ? openOrCreateRepository(folder, secret).then(({ repository }) => repository)
      : openRepository(folder, secret);
    this.#repository.catch(() => (this.#repository = undefined));
    return this.#repository;
  }
}

function secretOf({ key, passphrase }: ProcessSettings): BackupSecret | undefined {
  if (key !== '') return { type: 'key-file', bytes: Buffer.from(key) };
  return passphrase === '' ? undefined : { type: 'passphrase', text: passphrase };
}

function openTransfer({ nodeUrls, ca, connectTimeoutMs, jwt }: ProcessSettings): CouchTransfer {
  const tokens = createTokenMinter({
    secret: Buffer.from(jwt.secret, 'base64'),
    kid: jwt.kid,
    lifetimeSeconds: jwt.lifetimeSeconds,
  });
  let turn = 0;
  return createTransfer({
    pickNode(tried) {
      const left = nodeUrls.filter((url) => !tried.has(url));
      turn += 1;
      const url = left[turn % left.length];
      return url === undefined ? undefined : { url };
    },
    authorization: () => `Bearer ${tokens.tokenForSelf()}`,
    connectTimeoutMs,
    ...(ca === '' ? {} : { ca }),
  });
}

function send(message: FromProcess): void {
  // A parent that is gone needs no answer.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

let running: BackupProcess | undefined;

process.on('message', (message: ToProcess) => {
  if (message.type === 'settings') running = new BackupProcess(message.settings);
  else if (message.type === 'ask') void running?.ask(message.id, message.question);
  else if (message.type === 'run') void running?.run(message.job);
  else running?.cancel();
});
process.on('disconnect', () => {
  running?.cancel();
  setTimeout(() => process.exit(1), ORPHAN_MS).unref();
  if (running?.isWorking !== true) process.exit(0);
});
// systemd and Ctrl-C signal the whole group. A job ends its batch; the parent ends the process.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => running?.cancel());

yieldToClients();

/**
 * Takes a low priority, not the lowest: on a busy machine, the work must end. On Linux it is that of one
 * thread, and the threads that compress and write are there already: they have read the modules.
 */
function yieldToClients(): void {
  const threads = existsSync(THREADS) ? readdirSync(THREADS).map(Number) : [0];
  for (const thread of threads)
    try {
      setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
    } catch {
      // Clients notice the work a little more.
    }
}
