// Answers the history of the permissions of a database, and puts an earlier revision in force again.
import { type Request, type Response } from 'express';
import { type BodyReader } from '../body/read.ts';
import { callerOf, type Context, databaseOf, known } from '../context.ts';
import { BadRequest, Conflict, HttpError, NotFound, PreconditionFailed } from '../http-errors.ts';
import { type InternalReadLimiter, type InternalReadLimits } from '../limits/internal-read-limiter.ts';
import { type HistoryEntry } from '../permissions/history-document.ts';
import { type PermissionHistory } from '../permissions/permission-history.ts';
import { type PermissionsInForce, type Precondition, type RevisionName } from '../permissions/change.ts';
import { type PermissionStore } from '../permissions/permission-store.ts';
import { textOfRevision } from '../permissions/precondition.ts';
import { permissionsIn, shownForm } from '../permissions/security-document.ts';
import { parseSecurityPut } from '../permissions/security-request.ts';
import { type Widening, wideningOf } from '../permissions/widening.ts';
import { describeChange } from '../permissions/permission-change.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { sendJson } from '../respond.ts';
import { type IsStillAuthenticated, standingOf } from '../revocation/after-wait.ts';
import { type Answers } from './index.ts';
import { conditionsOf, revisionHeaders } from './security-conditions.ts';

export interface SecurityHistoryDeps {
  readonly bodies: BodyReader;
  readonly permissions: Pick<PermissionStore, 'inForce' | 'change'>;
  readonly history: PermissionHistory;
  readonly requiresPrecondition: boolean;
  readonly isStillAuthenticated: IsStillAuthenticated;
  /** Bounds the memory: an entry may have megabytes. Throws `TooBusy`. */
  readonly reads: Pick<InternalReadLimiter, 'run'>;
}

/** Of the histories that a process reads at once. */
export const HISTORY_READS: InternalReadLimits = { atOnce: 8, waiting: 64, share: 0.25 };

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;
const BODY_LIMIT_BYTES = 1024;

/**
 * Creates the handlers. A caller with the right to `_security` sees the present life of the database. The
 * owner also sees earlier lives, and databases that were deleted.
 */
export function securityHistoryHandlers(
  deps: SecurityHistoryDeps,
): Pick<Answers, 'api-security-history' | 'api-security-revision' | 'api-security-rollback'> {
  return {
    async 'api-security-history'(_req, res, context) {
      const { limit, before, generation } = await queryOf(deps, context);
      const database = databaseOf(context);
      const page = await whileReading(deps, context, () =>
        deps.history.list({ database, generation, limit, before }),
      );
      sendJson(res, 200, {
        history: page.entries.map(summaryOf),
        ...(page.before === undefined ? {} : { before: page.before }),
      });
    },
    async 'api-security-revision'(_req, res, context) {
      const { generation } = await queryOf(deps, context);
      const found = await revisionOf(deps, context, revisionIn(context), generation);
      sendJson(res, 200, { ...summaryOf(found.entry), document: found.document });
    },
    'api-security-rollback': (req, res, context) => rollBack(deps, req, res, context),
  };
}

/** The fields of an entry for a list. */
function summaryOf(entry: HistoryEntry): object {
  return { ...entry, database: undefined, document: undefined, rest: undefined };
}

interface Query {
  readonly limit: number;
  readonly before: number | undefined;
  readonly generation: string | undefined;
}

async function queryOf({ permissions }: SecurityHistoryDeps, context: Context): Promise<Query> {
  const query = new URLSearchParams(known(context.target, 'target').query);
  const limit = countIn(query, 'limit') ?? DEFAULT_LIMIT;
  if (limit < 1 || limit > MAX_LIMIT) throw new BadRequest(`\`limit\` must be from 1 to ${MAX_LIMIT}`);
  const before = countIn(query, 'before');
  if (known(context.identified, 'identified').principal.kind === 'owner')
    return { limit, before, generation: undefined };
  const { generation } = await inForceOf(permissions, context);
  return { limit, before, generation };
}

/** A parameter that is a whole number. Throws 400 for anything else, and if it is given twice. */
function countIn(query: URLSearchParams, name: string): number | undefined {
  const [text, second] = query.getAll(name);
  if (text === undefined) return undefined;
  if (second !== undefined || !/^\d{1,15}$/.test(text))
    throw new BadRequest(`\`${name}\` must be one whole number`);
  return Number(text);
}

async function revisionOf(
  deps: SecurityHistoryDeps,
  context: Context,
  revision: number,
  generation: string | undefined,
): Promise<NonNullable<Awaited<ReturnType<PermissionHistory['at']>>>> {
  const found = await whileReading(deps, context, () =>
    deps.history.at(databaseOf(context), revision, generation),
  );
  if (found === undefined) throw new NotFound(`The history does not have revision ${revision}.`);
  return found;
}

/** Reads as soon as the caller has a slot. Throws 403 if its permission has ended meanwhile. */
async function whileReading<T>(
  { reads, isStillAuthenticated }: SecurityHistoryDeps,
  context: Context,
  read: () => Promise<T>,
): Promise<T> {
  const found = await reads.run(quotaKeyOf(callerOf(context)), read);
  standingOf(isStillAuthenticated, context).refuseEnded();
  return found;
}

/**
 * Makes a new revision with the content of an earlier one. It never crosses a generation: a database that was
 * made again does not get the grants of its predecessor. It widens access to the public, or to new holders of
 * `_admin` and `_security`, only with `?allow=`.
 */
async function rollBack(
  deps: SecurityHistoryDeps,
  req: Request,
  res: Response,
  context: Context,
): Promise<void> {
  const { permissions, requiresPrecondition } = deps;
  const database = databaseOf(context);
  const { principal } = known(context.identified, 'identified');
  const conditions = conditionsOf(req, context, requiresPrecondition);
  const allowed = allowedIn(context);
  const body = await deps.bodies.jsonObject(req, res, { limitBytes: BODY_LIMIT_BYTES });
  const { revision, ...others } = body;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    throw new BadRequest(`Unknown field ${JSON.stringify(unknown)}; allowed: revision`);
  if (!Number.isSafeInteger(revision) || Number(revision) < 0)
    throw new BadRequest('`revision` must be the number of a revision');
  const inForce = await inForceOf(permissions, context);
  const { document } = await revisionOf(deps, context, Number(revision), inForce.generation);
  const target = parseSecurityPut(document);
  const change = await permissions.change(
    database,
    principal,
    (stored) => {
      const widening = wideningOf(permissionsIn(stored, database), shownForm(stored), target);
      for (const way of widening) if (!allowed.has(way)) throw wouldWiden(Number(revision), way);
      return target;
    },
    {
      via: 'rollback',
      ifMatch: sameLife(conditions.ifMatch, inForce),
      reason: conditions.reason ?? `rollback to revision ${Number(revision)}`,
      requestId: context.id,
      standing: standingOf(deps.isStillAuthenticated, context),
    },
  );
  context.outcome.change = { ...describeChange(change), rollbackTo: revision };
  sendJson(res, 200, { ok: true, revision: change.revision }, revisionHeaders(change));
}

/**
 * A condition that only states of the present life of the database fulfil: while the request waits, the
 * database may be deleted and made again. Without a condition of the client it is the state in force.
 */
function sameLife(ifMatch: Precondition | undefined, inForce: RevisionName): readonly string[] {
  if (ifMatch === undefined || ifMatch === 'any') return [textOfRevision(inForce)];
  const named = ifMatch.filter((text) => text.startsWith(`${inForce.generation}.`));
  if (named.length > 0) return named;
  throw new PreconditionFailed(
    'The permissions have changed since the revision that the request names.',
    inForce.revision,
  );
}

const WIDENINGS: Readonly<Record<Widening, string>> = {
  public: 'opens the database to callers without credentials',
  admin: 'gives _admin or _security to names that do not have it now',
};

function wouldWiden(revision: number, way: Widening): Conflict {
  return new Conflict(`Revision ${revision} ${WIDENINGS[way]}; repeat with ?allow=${way}`, 'would_widen');
}

/** `?allow=public`, `?allow=admin`, `?allow=public,admin`, or repeated. */
function allowedIn(context: Context): ReadonlySet<string> {
  const values = new URLSearchParams(known(context.target, 'target').query).getAll('allow');
  const words = values.flatMap((value) => value.split(','));
  const bad = words.find((word) => !Object.hasOwn(WIDENINGS, word));
  if (bad !== undefined) throw new BadRequest('`allow` must be public, admin, or both');
  return new Set(words);
}

async function inForceOf(
  permissions: SecurityHistoryDeps['permissions'],
  context: Context,
): Promise<PermissionsInForce> {
  const found = await permissions.inForce(databaseOf(context), callerOf(context));
  if (found === undefined) throw new NotFound('Database does not exist.');
  return found;
}

/** The revision in `/_api/v2/db/{db}/_security/history/{revision}`. */
function revisionIn(context: Context): number {
  const text = known(context.target, 'target').segments.at(-1) ?? '';
  if (!/^\d{1,15}$/.test(text)) throw new HttpError(404, 'not_found', 'missing');
  return Number(text);
}
