// The groups in the order in which they run and are printed.
import { type Group } from '../group.ts';
import { ceiling } from './ceiling.ts';
import { endToEnd } from './end-to-end.ts';

export const GROUPS: readonly Group[] = [ceiling, endToEnd];
