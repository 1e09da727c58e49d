// Form of the permission record: the document `permissions:{database}` of the store.
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { writeJson } from '../json/exact-numbers.ts';
import { parseStored } from '../json/parse.ts';
import { type DatabasePermissions } from './grants.ts';
import {
  grantsIn,
  type MirrorName,
  permissionsIn,
  rolesByName,
  shownForm,
  storedForm,
  type StoredSecurity,
} from './security-document.ts';
import { type SecurityRequest } from './security-request.ts';
import { type ChangeVia } from './change.ts';

/** Prefix of the ids in the store. Other replicas have it, so it must not change. */
export const RECORD = 'permissions:';

/** Number of changes whose ids a record keeps. A retry of one of them is recognized. */
export const RECENT_CHANGES = 32;

/** One life of a database, from its creation to its deletion. */
export interface Generation {
  readonly id: string;
  /** CouchDB's `instance_start_time`: seconds of the creation. `null` = the database was deleted. */
  readonly start: string | null;
}

/** One change in the memory of a record. */
export interface RecentChange {
  readonly id: string;
  readonly revision: number;
}

/** The content of a record: what one leaf of the document says. */
export interface RecordState {
  readonly revision: number;
  readonly generation: Generation;
  /**
   * `writing`: the change is not acknowledged yet, and the intersection of `before` and `security` is in
   * force. `done`: `security` is in force.
   */
  readonly state: 'writing' | 'done';
  /** `couchgate.stamp` of the security object that mirrors this state; 0 = made without a mirror. */
  readonly stamp: number;
  /** False if no security object was ever written for this generation: a new database (C12). */
  readonly mirrored: boolean;
  /** The client's form of the security object. */
  readonly security: JsonObject;
  /** Only while `writing`: the client's form of the object before. */
  readonly before: JsonObject | undefined;
  /** The latest changes, newest first; the first entry is the change that made this state. */
  readonly recent: readonly RecentChange[];
  readonly by: string;
  readonly via: ChangeVia;
  readonly at: string;
  readonly reason: string | undefined;
  readonly requestId: string | undefined;
}

/** A live leaf of the document. */
export interface Leaf extends RecordState {
  readonly rev: string;
  /** True if its writer did not succeed; it holds the state from which the writer started. */
  readonly isWithdrawn: boolean;
}

/**
 * The fields of the document for a state. The same state always has the same fields, and so the same `_rev`.
 * Forms are texts: so every number keeps its value, and no field name has a meaning for CouchDB.
 */
export function documentOf(state: RecordState): Readonly<Record<string, unknown>> {
  const { couchdb_auth_only: authOnly, cloudant, ...rest } = state.security;
  return {
    revision: state.revision,
    generation: state.generation,
    state: state.state,
    stamp: state.stamp,
    mirrored: state.mirrored,
    grants: cloudant ?? null,
    couchdb_auth_only: authOnly ?? null,
    rest: writeJson(rest),
    ...(state.before === undefined ? {} : { before: writeJson(state.before) }),
    recent: state.recent,
    by: state.by,
    via: state.via,
    at: state.at,
    ...(state.reason === undefined ? {} : { reason: state.reason }),
    ...(state.requestId === undefined ? {} : { request_id: state.requestId }),
  };
}

/**
 * Reads the fields of a document. A part that is malformed grants nothing and counts as the oldest, so that a
 * damaged record narrows access and can be replaced.
 */
export function stateIn(document: JsonObject): RecordState {
  const { generation, grants, couchdb_auth_only: authOnly, rest, before, recent } = document;
  const life = isJsonObject(generation) ? generation : {};
  return {
    revision: countIn(document['revision']),
    generation: {
      id: typeof life['id'] === 'string' ? life['id'] : '',
      start: typeof life['start'] === 'string' ? life['start'] : null,
    },
    state: document['state'] === 'done' ? 'done' : 'writing',
    stamp: countIn(document['stamp']),
    mirrored: document['mirrored'] !== false,
    security: {
      ...formIn(rest),
      ...(isJsonObject(grants) ? { cloudant: grants } : {}),
      ...(typeof authOnly === 'boolean' ? { couchdb_auth_only: authOnly } : {}),
    },
    before: formIn(before),
    recent: Array.isArray(recent) ? recent.filter(isRecentChange).slice(0, RECENT_CHANGES) : [],
    by: textIn(document['by']) ?? '',
    via: (textIn(document['via']) ?? 'repair') as ChangeVia,
    at: textIn(document['at']) ?? '',
    reason: textIn(document['reason']),
    requestId: textIn(document['request_id']),
  };
}

function formIn(text: unknown): JsonObject | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const form = parseStored(Buffer.from(text));
    return isJsonObject(form) ? form : undefined;
  } catch {
    return undefined;
  }
}

function isRecentChange(entry: unknown): entry is RecentChange {
  return isJsonObject(entry) && typeof entry['id'] === 'string' && typeof entry['revision'] === 'number';
}

function countIn(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function textIn(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The security object that mirrors a state in CouchDB. */
export function mirrorOf(state: RecordState, database: string): StoredSecurity {
  const { stamp, revision, generation } = state;
  return objectOf(state.security, database, { stamp, revision, generation: generation.id });
}

/** The security object for a client's form. */
export function objectOf(security: JsonObject, database: string, name: MirrorName): StoredSecurity {
  return storedForm(requestIn(security), database, name);
}

/** The permissions that a client's form of the security object grants. `marked` says what CouchDB has. */
export function permissionsOfForm(
  security: JsonObject,
  database: string,
  marked: boolean,
): DatabasePermissions {
  if (security['couchdb_auth_only'] !== true)
    return { database, grants: grantsIn(security['cloudant']), couchdbAuthOnly: false, marked };
  const { grants, couchdbAuthOnly } = permissionsIn(
    storedForm(requestIn(security), database, { stamp: 0 }),
    database,
  );
  return { database, grants, couchdbAuthOnly, marked };
}

/** The client's form of an object that CouchDB has, as a record stores it. */
export function securityIn(document: StoredSecurity): JsonObject {
  return Object.fromEntries(Object.entries(shownForm(document)).filter(([field]) => field !== '_id'));
}

/** The client's form of a request, as a record stores it. */
export function securityOf({
  cloudant,
  couchdbAuthOnly,
  members,
  admins,
  rest,
}: SecurityRequest): JsonObject {
  return {
    ...rest,
    ...(cloudant === undefined ? {} : { cloudant: Object.fromEntries(cloudant) }),
    ...(couchdbAuthOnly === undefined ? {} : { couchdb_auth_only: couchdbAuthOnly }),
    ...(members === undefined ? {} : { members }),
    ...(admins === undefined ? {} : { admins }),
  };
}

/** The request that a stored form stands for. Parts that a client could not put today are left out. */
function requestIn({
  cloudant,
  couchdb_auth_only: authOnly,
  members,
  admins,
  ...rest
}: JsonObject): SecurityRequest {
  return {
    cloudant: isJsonObject(cloudant) ? new Map(rolesByName(cloudant)) : undefined,
    couchdbAuthOnly: typeof authOnly === 'boolean' ? authOnly : undefined,
    members: isJsonObject(members) ? members : undefined,
    admins: isJsonObject(admins) ? admins : undefined,
    rest,
  };
}
