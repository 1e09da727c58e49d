// Answers the API-key endpoints: create, list, describe, change, revoke, rotate.
import { type Request, type Response } from 'express';
import { type Context, known } from '../context.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { BadRequest, NotFound } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';
import { keyListHandler } from './key-list.ts';
import { answerRevocation } from './key-revoke.ts';
import { type KeyFields, parseKeyFields, parseOverlap } from './key-fields.ts';
import { type BodyReader } from '../body/read.ts';
import { type OperationalLog } from '../config/operational-log.ts';
import { type PermissionIndex } from '../permissions/permission-index.ts';
import { type PermissionReader, type PermissionStore } from '../permissions/permission-store.ts';
import { refuseEnded } from '../revocation/after-wait.ts';
import { grantAll, type NewGrants, parseNewGrants, requireGrantable } from './key-grants.ts';

export interface ApiKeyDeps {
  readonly bodies: BodyReader;
  readonly keys: Pick<KeyStore, 'create' | 'page' | 'describe' | 'change' | 'revoke' | 'rotate'>;
  readonly permissions: Pick<PermissionStore, 'change'> & { readonly index: PermissionIndex };
  readonly permissionReader: Pick<PermissionReader, 'permissionsOf'>;
  /** Databases of Couchgate, which can have no grants. */
  readonly reservedDatabases: readonly string[];
  readonly log: OperationalLog;
  /** Default overlap of a rotation: how long the old password stays valid. */
  readonly keyRotationOverlapSeconds: number;
  readonly now?: () => number;
}

const RULES = { limitBytes: 16_384 } as const;
/** The response contains a password, so no cache may store it. */
const SECRET = { 'Cache-Control': 'no-store' };

/**
 * Creates the handlers. Each change is answered after all workers of this replica have applied it.
 * Source of `api-keys`: https://cloud.ibm.com/apidocs/cloudant#postapikeys. The others are extensions of
 * Couchgate.
 */
export function apiKeyHandlers(
  deps: ApiKeyDeps,
): Pick<
  Answers,
  'api-keys' | 'api-keys-list' | 'api-key-get' | 'api-key-change' | 'api-key-revoke' | 'api-key-rotate'
> {
  const { keys } = deps;
  return {
    'api-keys': (req, res, context) => createKey(deps, req, res, context),
    'api-keys-list': keyListHandler(keys, deps.now ?? Date.now),
    'api-key-get': async (_req, res, context) =>
      sendJson(res, 200, found(await keys.describe(keyNameIn(context)))),
    'api-key-change': async (req, res, context) => {
      const key = keyNameIn(context);
      const fields = parseKeyFields(await deps.bodies.jsonObject(req, res, RULES));
      const summary = found(await keys.change(key, fields, () => refuseEnded(context)));
      context.outcome.change = { action: 'change', key, ...fields };
      sendJson(res, 200, { ok: true, ...summary });
    },
    'api-key-revoke': async (_req, res, context) => {
      if (!(await answerRevocation(deps, keyNameIn(context), res, context))) throw noSuchKey();
    },
    'api-key-rotate': (req, res, context) => rotateKey(deps, req, res, context),
  };
}

/** Creates a key and sends it with its password. `/api/generate_api_key` uses it too, without a body. */
export async function answerNewKey(
  keys: Pick<KeyStore, 'create'>,
  fields: { readonly label?: string | null; readonly expiresAt?: string | null },
  { res, context, headers = {} }: { res: Response; context: Context; headers?: Record<string, string> },
): Promise<void> {
  const { label = null, expiresAt = null } = fields;
  const by = known(context.identified, 'identified').principal.name;
  const { key, password } = await keys.create({ label, expiresAt, by }, () => refuseEnded(context));
  context.outcome.change = { action: 'create', key, label, expiresAt };
  sendJson(res, 201, { ok: true, key, password }, { ...SECRET, ...headers });
}

async function createKey(deps: ApiKeyDeps, req: Request, res: Response, context: Context): Promise<void> {
  const body = (await deps.bodies.optionalJsonObject(req, res, RULES)) ?? {};
  const fields = parseKeyFields(body, ['grants']);
  const { expiresAt } = fields;
  const now = (deps.now ?? Date.now)();
  if (typeof expiresAt === 'string' && Date.parse(expiresAt) <= now) {
    throw new BadRequest('`expires_at` is in the past');
  }
  if (body['grants'] === undefined) return answerNewKey(deps.keys, fields, { res, context });
  const grants = parseNewGrants(body['grants'], deps.reservedDatabases);
  await answerGrantedKey(deps, fields, grants, { res, context });
}

/**
 * Creates a key with its grants. Nobody knows the password before all grants stand. If one fails, or the
 * request ends (H19), the key is revoked and the answer is the error; a process that dies in between leaves a
 * key with an unknown password.
 */
async function answerGrantedKey(
  { keys, permissions, permissionReader, log }: ApiKeyDeps,
  { label = null, expiresAt = null }: KeyFields,
  grants: NewGrants,
  { res, context }: { res: Response; context: Context },
): Promise<void> {
  const { principal } = known(context.identified, 'identified');
  const origin = { by: principal, requestId: context.id, refuseEnded: () => refuseEnded(context) };
  await requireGrantable(permissionReader, grants);
  const { key, password } = await keys.create({ label, expiresAt, by: principal.name }, origin.refuseEnded);
  try {
    await grantAll(permissions, key, grants, origin);
  } catch (error) {
    await keys.revoke(key, principal.name).catch(() => {
      log.warn({ key }, 'API key without its grants could not be revoked; nobody knows its password');
    });
    throw error;
  }
  const shown = Object.fromEntries(grants);
  context.outcome.change = { action: 'create', key, label, expiresAt, grants: shown };
  sendJson(res, 201, { ok: true, key, password, grants: shown }, SECRET);
}

async function rotateKey(deps: ApiKeyDeps, req: Request, res: Response, context: Context): Promise<void> {
  const key = keyNameIn(context);
  const body = (await deps.bodies.optionalJsonObject(req, res, RULES)) ?? {};
  const overlapSeconds = parseOverlap(body, deps.keyRotationOverlapSeconds);
  const { password, oldValidUntil } = found(
    await deps.keys.rotate(key, overlapSeconds, () => refuseEnded(context)),
  );
  context.outcome.change = { action: 'rotate', key, overlapSeconds };
  sendJson(res, 200, { ok: true, key, password, old_password_valid_until: oldValidUntil }, SECRET);
}

/** Returns the key of `/_api/v2/api_keys/{key}[/rotate]`. */
function keyNameIn(context: Context): string {
  return known(known(context.target, 'target').segments[3], 'target.segments[3]');
}

function found<T>(value: T | undefined): T {
  if (value === undefined) throw noSuchKey();
  return value;
}

function noSuchKey(): NotFound {
  return new NotFound('The API key does not exist or is revoked.');
}
