// Lists the groups in the order in which they run and are printed.
import { type Group } from '../group.ts';
import { backups } from './backup.ts';
import { backupReaders } from './backup-readers.ts';
import { ceiling } from './ceiling.ts';
import { cold } from './cold.ts';
import { decision } from './decide.ts';
import { endToEnd } from './end-to-end.ts';
import { exports } from './export.ts';
import { growth } from './growth.ts';
import { keys } from './keys.ts';
import { logging } from './logging.ts';
import { soak } from './soak.ts';
import { streams } from './streams.ts';
import { writes } from './writes.ts';

export const GROUPS: readonly Group[] = [
  ceiling,
  writes,
  decision,
  logging,
  endToEnd,
  cold,
  growth,
  keys,
  streams,
  soak,
  backups,
  backupReaders,
  exports,
];
