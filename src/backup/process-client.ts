// Starts backup processes: one for each job, and one for questions, which ends when nobody asks any more.
import { fork, type ChildProcess } from 'node:child_process';
import { Unavailable } from '../http-errors.ts';
import { type Failure, type FromProcess, type JobRequest } from './process-protocol.ts';
import { type ProcessSettings, type Question, type ToProcess } from './process-protocol.ts';
import { type QuestionAnswer } from './questions.ts';

export interface ProcessOptions {
  /** The program of the child: src/backup-process.ts. */
  readonly program: string;
  readonly settings: ProcessSettings;
}

/** A question that the repository or CouchDB refused. */
export class RefusedQuestion extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.reason);
    this.failure = failure;
  }
}

export interface JobListener {
  onMessage(message: Extract<FromProcess, { type: 'event' | 'result' }>): void;
}

/** What a job came to. `failure` is undefined if it ran to its end. */
export interface JobEnd {
  readonly exitCode: number;
  readonly failure?: Failure;
}

export interface RunningJob {
  readonly ended: Promise<JobEnd>;
  /** Asks the job to end after its batch; kills it after `CANCEL_MS`. */
  cancel(): void;
}

const IDLE_MS = 60_000;
/** Questions that wait or run at the same time. */
const MAX_QUESTIONS = 16;
const CANCEL_MS = 15_000;

const DIED: JobEnd = {
  exitCode: 1,
  // Killed, perhaps for want of memory: interrupted, so that a schedule starts it again.
  failure: { kind: 'cancelled', reason: 'The backup process ended unexpectedly.', exitCode: 1 },
};

/** Runs a job in a process of its own. */
export function startJob(options: ProcessOptions, job: JobRequest, listener: JobListener): RunningJob {
  const child = start(options);
  let killer: NodeJS.Timeout | undefined;
  let end = DIED;
  const ended = new Promise<JobEnd>((resolve) => {
    child.on('message', (message: FromProcess) => {
      if (message.type === 'event' || message.type === 'result') listener.onMessage(message);
      if (message.type !== 'ended') return;
      const { exitCode, failure } = message;
      end = { exitCode, ...(failure === undefined ? {} : { failure }) };
      if (child.connected) child.disconnect();
    });
    child.on('error', () => resolve(end));
    child.on('exit', () => {
      clearTimeout(killer);
      resolve(end);
    });
  });
  tell(child, { type: 'run', job });
  return {
    ended,
    cancel() {
      tell(child, { type: 'cancel' });
      killer ??= setTimeout(() => child.kill('SIGKILL'), CANCEL_MS);
    },
  };
}

interface Waiting {
  resolve(answer: QuestionAnswer): void;
  reject(error: Error): void;
}

/** The process that answers questions. It starts with the first one. */
export class QuestionProcess {
  readonly #options: ProcessOptions;
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess | undefined = undefined;
  #idle: NodeJS.Timeout | undefined = undefined;
  #lastId = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  /** Rejects with `RefusedQuestion`, or with 503 if too many questions are waiting or the process dies. */
  ask(question: Question): Promise<QuestionAnswer> {
    if (this.#waiting.size >= MAX_QUESTIONS)
      return Promise.reject(
        new Unavailable('Too many requests are waiting for the backups.', { retryAfterSeconds: 1 }),
      );
    clearTimeout(this.#idle);
    this.#child ??= this.#start();
    const child = this.#child;
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      tell(child, { type: 'ask', id, question });
    });
  }

  close(): void {
    clearTimeout(this.#idle);
    if (this.#child?.connected === true) this.#child.disconnect();
  }

  #start(): ChildProcess {
    const child = start(this.#options);
    child.on('message', (message: FromProcess) => {
      if (message.type !== 'answer' && message.type !== 'refused') return;
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.type === 'answer') waiting?.resolve({ status: message.status, text: message.text });
      else waiting?.reject(new RefusedQuestion(message.failure));
      if (this.#waiting.size === 0) this.#idle = setTimeout(() => this.close(), IDLE_MS).unref();
    });
    const gone = (): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      clearTimeout(this.#idle);
      for (const waiting of this.#waiting.values())
        waiting.reject(new Unavailable('The backup process ended unexpectedly.', { retryAfterSeconds: 1 }));
      this.#waiting.clear();
    };
    child.on('error', gone);
    child.on('exit', gone);
    child.on('disconnect', gone);
    return child;
  }
}

/** The child has none of the secrets in its arguments or its environment. */
function start({ program, settings }: ProcessOptions): ChildProcess {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('COUCHGATE_')),
  );
  const child = fork(program, [], { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  tell(child, { type: 'settings', settings });
  return child;
}

function tell(child: ChildProcess, message: ToProcess): void {
  // A child that has just ended: `exit` says so.
  if (child.connected) child.send(message, () => undefined);
}
