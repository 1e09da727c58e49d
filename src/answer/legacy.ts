// Answers the two deprecated endpoints of Cloudant, with deprecation headers.
import { type Context, known } from '../context.ts';
import { type Request, type Response } from 'express';
import { type BodyReader } from '../body/read.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { describeChange } from '../permissions/permission-change.ts';
import { databaseOfForm, grantOfForm } from '../permissions/permissions-form.ts';
import { shownForm, type StoredSecurity } from '../permissions/security-document.ts';
import { withRoles } from '../permissions/security-change.ts';
import { type SecurityRequest } from '../permissions/security-request.ts';
import { type PermissionStore } from '../permissions/permission-store.ts';
import { sendJson } from '../respond.ts';
import { type IsStillAuthenticated, standingOf } from '../revocation/after-wait.ts';
import { answerNewKey } from './api-keys.ts';
import { type Answers } from './index.ts';

export interface LegacyDeps {
  readonly bodies: BodyReader;
  readonly keys: Pick<KeyStore, 'create'>;
  readonly permissions: Pick<PermissionStore, 'change'>;
  readonly isStillAuthenticated: IsStillAuthenticated;
}

/**
 * RFC 9745: start of the deprecation in seconds since the epoch. It is the day of the first version of
 * Couchgate, since these endpoints were always deprecated.
 */
const DEPRECATION = '@1795305600';
/** authorize has read the form within the same limit. */
const LIMIT_BYTES = 65_536;

/** Creates the handlers of the two endpoints. */
export function legacyHandlers(
  deps: LegacyDeps,
): Pick<Answers, 'legacy-generate-api-key' | 'legacy-set-permissions'> {
  return {
    'legacy-generate-api-key': (_req, res, context) =>
      answerNewKey(deps.keys, {}, { res, context, headers: deprecated('/_api/v2/api_keys') }),
    'legacy-set-permissions': (req, res, context) => setPermissions(deps, req, res, context),
  };
}

/** Replaces the roles of one name, and keeps all other grants. */
async function setPermissions(
  { bodies, permissions, isStillAuthenticated }: LegacyDeps,
  req: Request,
  res: Response,
  context: Context,
): Promise<void> {
  const form = await bodies.form(req, res, { limitBytes: LIMIT_BYTES });
  const { principal } = known(context.identified, 'identified');
  const database = databaseOfForm(form, principal);
  const { username, roles } = grantOfForm(form);
  const grant = (inForce: StoredSecurity): SecurityRequest => withRoles(shownForm(inForce), username, roles);
  const change = await permissions.change(database, principal, grant, {
    via: 'set_permissions',
    requestId: context.id,
    standing: standingOf(isStillAuthenticated, context),
  });
  context.outcome.change = describeChange(change);
  const successor = `/_api/v2/db/${encodeURIComponent(database)}/_security`;
  sendJson(res, 200, { ok: true }, deprecated(successor));
}

function deprecated(successor: string): Record<string, string> {
  return { Deprecation: DEPRECATION, Link: `<${successor}>; rel="successor-version"` };
}
