// The events that a running backup, restore or test reports, for a progress bar, JSON lines or a job.

export type BackupEvent =
  /** Work on a database begins. `total` = documents that will be read at most. */
  | {
      readonly type: 'start';
      readonly database: string;
      readonly action: 'full' | 'incremental' | 'restore' | 'check';
      readonly resumed: boolean;
      readonly total: number;
    }
  /** Counts since `start`. `pending` = changes that remain; `bytes` = JSON and attachments. */
  | {
      readonly type: 'progress';
      readonly database: string;
      readonly documents: number;
      readonly bytes: number;
      readonly pending: number;
    }
  /** Something could not be read or written. */
  | { readonly type: 'problem'; readonly database: string; readonly id?: string; readonly reason: string }
  /** What the operator should know. `isWarning` = and what only the operator can put right. */
  | {
      readonly type: 'notice';
      readonly database: string;
      readonly message: string;
      readonly isWarning?: true;
    };

export type OnEvent = (event: BackupEvent) => void;
