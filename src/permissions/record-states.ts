// Makes the states that a writer of a permission record writes next. Pure, but for random ids.
import { randomBytes } from 'node:crypto';
import { type JsonObject } from '../json/object.ts';
import { type Generation, type Leaf, RECENT_CHANGES, type RecordState } from './record-document.ts';
import { type PermissionRecord, stateOfLeaf } from './record-leaves.ts';
import { type Authorship } from './record-protocol.ts';
import { mirrorNameIn, type StoredSecurity, versionOf } from './security-document.ts';
import { type SeenAtRest } from './seen.ts';

/** The fields of a state that say which change made it. */
type Origin = Pick<RecordState, 'revision' | 'recent' | 'by' | 'via' | 'at' | 'reason' | 'requestId'>;

/** A random id of a change. */
export function newChangeId(): string {
  return randomBytes(12).toString('hex');
}

/** The state for a change of what was seen. `now` is in milliseconds since 1970. */
export function stateOfChange(
  { record, object, start, isMadeAgain, agreement, security: before }: SeenAtRest,
  security: JsonObject,
  { id, by, now }: { readonly id: string; readonly by: Authorship; readonly now: number },
): RecordState {
  const revision = Math.max(record?.state.revision ?? 0, mirrorNameIn(object)?.revision ?? 0) + 1;
  const origin = originOf(by, revision, now, id);
  const isContinued = record !== undefined && !isMadeAgain && agreement !== 'gone';
  return {
    ...origin,
    recent: [...origin.recent, ...(record?.state.recent ?? [])].slice(0, RECENT_CHANGES),
    generation: isContinued ? { ...record.state.generation, start } : newGeneration(start),
    state: 'writing',
    stamp: nextStamp(record?.state, object, now),
    mirrored: isContinued && record.state.mirrored,
    security,
    before,
  };
}

/** The state of a database that was made at `start`: no grants, and no mirror (C12). */
export function stateOfCreation(
  record: PermissionRecord | undefined,
  start: string,
  by: Authorship,
  now: number,
): RecordState {
  return {
    ...originOf(by, (record?.state.revision ?? 0) + 1, now),
    generation: newGeneration(start),
    state: 'done',
    stamp: 0,
    mirrored: false,
    security: {},
    before: undefined,
  };
}

/** The state of a database that was deleted. */
export function stateOfDeletion({ state }: PermissionRecord, by: Authorship, now: number): RecordState {
  return {
    ...state,
    ...originOf(by, state.revision + 1, now),
    generation: { id: state.generation.id, start: null },
    state: 'done',
    security: {},
    before: undefined,
  };
}

/** The state that several leaves have in common. */
export function stateOfMerge(
  { state, leaves }: PermissionRecord,
  object: StoredSecurity,
  now: number,
): RecordState {
  const origin = originOf({ by: '', via: 'merge' }, state.revision + 1, now);
  // A change of only some leaves may have lost a grant, so its writer must not find its id.
  const shared = state.recent.filter(({ id }) => leaves.every((leaf) => hasChange(leaf, id)));
  return {
    ...state,
    ...origin,
    recent: [...origin.recent, ...shared].slice(0, RECENT_CHANGES),
    state: 'writing',
    stamp: nextStamp(state, object, now),
    before: state.security,
  };
}

/** The state of a database whose object is taken over; `undefined` if the object is not Couchgate's. */
export function stateOfTakeOver(
  { record, object, security, start }: SeenAtRest,
  now: number,
): RecordState | undefined {
  const name = mirrorNameIn(object);
  if (name === undefined) return undefined;
  const isContinued = record?.state.generation.start === start;
  const generation = isContinued ? record.state.generation : newGeneration(start);
  const revision = Math.max(record?.state.revision ?? 0, name.revision ?? 0) + 1;
  return {
    ...originOf({ by: '', via: 'migrate' }, revision, now),
    // The object keeps the name of the lost record that it mirrors.
    generation: { start, id: name.generation ?? generation.id },
    state: 'done',
    stamp: name.stamp,
    mirrored: true,
    security,
    before: undefined,
  };
}

/** The state of a leaf whose object is written. */
export function stateWhenDone(leaf: Leaf): RecordState {
  return { ...stateOfLeaf(leaf), state: 'done', mirrored: true, before: undefined };
}

/** True if the change with this id is among the latest ones. */
export function hasChange({ recent }: RecordState, id: string): boolean {
  return recent.some((entry) => entry.id === id);
}

/** True if both states were made by the same change. */
export function isSameChange(a: RecordState, b: RecordState): boolean {
  return a.revision === b.revision && a.recent[0]?.id === b.recent[0]?.id;
}

function originOf(
  { by, via, reason, requestId }: Authorship,
  revision: number,
  now: number,
  id = newChangeId(),
): Origin {
  const at = new Date(now).toISOString();
  return { revision, recent: [{ id, revision }], by, via, at, reason, requestId };
}

function newGeneration(start: string): Generation {
  return { id: randomBytes(6).toString('hex'), start };
}

function nextStamp(state: RecordState | undefined, object: StoredSecurity, now: number): number {
  return Math.max(now, (state?.stamp ?? 0) + 1, versionOf(object) + 1);
}
