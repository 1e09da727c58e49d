// Defines what a serving process and its backup process send each other.
import { type BackupEvent } from './events.ts';

/** How to reach `backup_target`; an empty `url` = there is none. */
export interface TargetSettings {
  readonly url: string;
  readonly user: string;
  readonly password: string;
}

/** The part of the configuration that the backup process gets, in a message and not in its environment. */
export interface ProcessSettings {
  readonly repository: string;
  readonly key: string;
  readonly passphrase: string;
  readonly databases: readonly string[];
  /** True if every backup has an instance section. */
  readonly instance: boolean;
  readonly configFolder: string;
  readonly target: TargetSettings;
  /** Which snapshots stay, as in backup_keep. */
  readonly keep: string;
  readonly storeDatabase: string;
  readonly nodeUrls: readonly string[];
  /** PEM; empty = the certificates of the system. */
  readonly ca: string;
  readonly connectTimeoutMs: number;
  readonly jwt: { readonly secret: string; readonly kid: string; readonly lifetimeSeconds: number };
}

/** Work that takes long. It ends with an exit code, as the commands do. */
export type JobRequest =
  /** `databases`: patterns; none = those of the settings. `forget`: remove old snapshots afterwards. */
  | { readonly kind: 'backup'; readonly databases: readonly string[]; readonly forget?: boolean }
  | { readonly kind: 'restore'; readonly database: string; readonly snapshot: string; readonly to: string }
  /** Restores a snapshot into a scratch database and compares; none = the newest of each database. */
  | { readonly kind: 'verify'; readonly database?: string; readonly snapshot?: string };

/** A question that is answered in seconds. */
export type Question =
  | { readonly kind: 'overview' }
  | {
      readonly kind: 'snapshots';
      readonly database?: string;
      readonly limit: number;
      readonly before?: string;
    }
  | { readonly kind: 'versions'; readonly database: string; readonly id: string }
  | {
      readonly kind: 'version';
      readonly database: string;
      readonly id: string;
      readonly snapshot: string;
      /** A leaf of the snapshot; default: its winner. */
      readonly rev?: string;
      /** The snapshot to compare with; default: the database as it is now. */
      readonly to?: string;
    }
  | {
      readonly kind: 'restoreDocument';
      readonly database: string;
      readonly id: string;
      readonly snapshot: string;
      readonly rev?: string;
      /** The revision of the live document that the owner has seen; null = there was none. */
      readonly revision: string | null;
    };

/** What one database of a job came to. */
export interface DatabaseResult {
  readonly database: string;
  readonly state: 'done' | 'incomplete' | 'failed';
  readonly snapshot?: string;
  readonly full?: boolean;
  readonly documents?: number;
  readonly attachments?: number;
  /** Bytes that were read: JSON and attachments. */
  readonly bytes?: number;
  readonly seconds: number;
  readonly reason?: string;
  /** The first problems; `problem_count` counts all. */
  readonly problems?: readonly { readonly id: string; readonly reason: string }[];
  readonly problem_count?: number;
}

/**
 * `missing` = the repository does not have it; `forbidden` = a database of Couchgate; `busy` = locked;
 * `setup` = no repository, or a wrong key.
 */
export type FailureKind =
  'missing' | 'forbidden' | 'busy' | 'setup' | 'damaged' | 'couchdb' | 'cancelled' | 'failed';

export interface Failure {
  readonly kind: FailureKind;
  readonly reason: string;
  readonly exitCode: number;
}

export type ToProcess =
  | { readonly type: 'settings'; readonly settings: ProcessSettings }
  | { readonly type: 'ask'; readonly id: number; readonly question: Question }
  | { readonly type: 'run'; readonly job: JobRequest }
  | { readonly type: 'cancel' };

export type FromProcess =
  /** `text` is JSON. */
  | { readonly type: 'answer'; readonly id: number; readonly status: number; readonly text: string }
  | { readonly type: 'refused'; readonly id: number; readonly failure: Failure }
  | { readonly type: 'event'; readonly event: BackupEvent }
  | { readonly type: 'result'; readonly result: DatabaseResult }
  | { readonly type: 'ended'; readonly exitCode: number; readonly failure?: Failure };
