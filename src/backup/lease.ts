// A lease in the store: at most one process of all replicas holds it. It is written and renewed only with an
// acknowledgement by a majority of the copies (201), as permissions are.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { Unavailable } from '../http-errors.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';

export interface LeaseOptions {
  readonly store: Pick<Store, 'read' | 'write'>;
  /** Two jobs that must not run at the same time use the same name. */
  readonly name: string;
  /** Time after the last renewal at which another process may take the lease. */
  readonly ttlMs: number;
  /** Monotonic milliseconds; injected by tests. */
  readonly now?: () => number;
}

/** What the holder stores. */
export interface LeaseHolder {
  readonly job: string;
  readonly process: string;
}

export interface HeldLease {
  /** The job of a holder that was lost; its work ended without a word. */
  readonly predecessor: string | undefined;
  /** Called at most once, when the lease is lost: the work must end. */
  onLost(listener: () => void): void;
  release(): Promise<void>;
}

interface LeaseDocument extends StoredDocument {
  readonly holder: string | null;
  readonly job?: string;
  readonly process?: string;
  readonly renewed?: string;
}

const RENEWALS_PER_TTL = 3;

/** Distinguishes this process from all others, also from one with the same pid after a restart. */
const SELF = randomUUID();

/** Names this process in a job. */
export function processName(): string {
  return `${hostname()}:${process.pid}`;
}

/**
 * Clocks of replicas differ, so a foreign lease ends only after this process has seen the same revision for
 * the whole `ttlMs` by its own clock.
 */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #id: string;
  readonly #now: () => number;
  #seen: { readonly rev: string; readonly at: number } | undefined = undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#id = `backup_lease:${options.name}`;
    this.#now = options.now ?? (() => performance.now());
  }

  /** The job of the present holder; undefined if nobody holds it. Throws `Unavailable`. */
  async holder(): Promise<string | undefined> {
    const found = (await this.#options.store.read(this.#id)) as LeaseDocument | undefined;
    if (found === undefined || found.holder === null || this.#isExpired(found)) return undefined;
    return found.job;
  }

  /**
   * Takes the lease for a job; undefined if another process holds it, or may hold it. Throws `Unavailable`.
   */
  async take(job: string): Promise<HeldLease | undefined> {
    const { store, ttlMs } = this.#options;
    const found = (await store.read(this.#id)) as LeaseDocument | undefined;
    if (found !== undefined && found.holder !== null && !this.#isExpired(found)) return undefined;
    const begun = this.#now();
    const write = await store.write(this.#document(job, found?._rev));
    if (write.outcome === 'conflict') return undefined;
    const held = new Held({
      write: (rev, isReleased) => store.write(this.#document(isReleased ? null : job, rev)),
      rev: write.rev,
      expires: begun + ttlMs,
      ttlMs,
      now: this.#now,
      predecessor: found?.holder === null ? undefined : found?.job,
    });
    // Without a majority, another process could take it at the same time.
    if (write.quorum) return held;
    await held.release();
    return undefined;
  }

  #isExpired({ _rev: rev = '' }: LeaseDocument): boolean {
    if (this.#seen?.rev !== rev) this.#seen = { rev, at: this.#now() };
    return this.#now() - this.#seen.at >= this.#options.ttlMs;
  }

  #document(job: string | null, rev: string | undefined): LeaseDocument {
    return {
      _id: this.#id,
      ...(rev === undefined ? {} : { _rev: rev }),
      ...(job === null ? { holder: null } : { holder: SELF, job, process: processName() }),
      // Makes the revision of every renewal new.
      renewed: new Date().toISOString(),
    };
  }
}

interface HeldParts {
  readonly write: (rev: string, isReleased: boolean) => ReturnType<Store['write']>;
  readonly rev: string;
  readonly expires: number;
  readonly ttlMs: number;
  readonly now: () => number;
  readonly predecessor: string | undefined;
}

/** Renews a lease until it is released or lost. */
class Held implements HeldLease {
  readonly #parts: HeldParts;
  readonly #timer: NodeJS.Timeout;
  #rev: string;
  #expires: number;
  #renewing: Promise<void> | undefined = undefined;
  #state: 'held' | 'lost' | 'released' = 'held';
  #listener: (() => void) | undefined = undefined;

  constructor(parts: HeldParts) {
    this.#parts = parts;
    this.#rev = parts.rev;
    this.#expires = parts.expires;
    this.#timer = setInterval(() => this.#tick(), parts.ttlMs / RENEWALS_PER_TTL).unref();
  }

  get predecessor(): string | undefined {
    return this.#parts.predecessor;
  }

  onLost(listener: () => void): void {
    this.#listener = listener;
    if (this.#state === 'lost') listener();
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    if (this.#state !== 'held') return;
    this.#state = 'released';
    // A release that fails is as good as a holder that dies: the lease expires.
    await this.#parts.write(this.#rev, true).catch(ignoreUnavailable);
  }

  #tick(): void {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    // Another process may take the lease from now on, also while a renewal hangs.
    if (this.#parts.now() >= this.#expires - this.#parts.ttlMs / RENEWALS_PER_TTL) this.#lose();
  }

  async #renew(): Promise<void> {
    const begun = this.#parts.now();
    const write = await this.#parts.write(this.#rev, false).catch(ignoreUnavailable);
    if (write === undefined || this.#state !== 'held') return;
    if (write.outcome === 'conflict') {
      this.#lose();
      return;
    }
    this.#rev = write.rev;
    if (write.quorum) this.#expires = begun + this.#parts.ttlMs;
  }

  #lose(): void {
    if (this.#state !== 'held') return;
    this.#state = 'lost';
    clearInterval(this.#timer);
    this.#listener?.();
  }
}

function ignoreUnavailable(error: unknown): undefined {
  if (!(error instanceof Unavailable)) throw error;
  return undefined;
}
