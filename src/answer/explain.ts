// Answers `POST /_api/v2/explain`: whether a request would be permitted, and why.
import { type Request, type Response } from 'express';
import { parseForm } from '../body/parse.ts';
import { type BodyReader } from '../body/read.ts';
import { isOpenToGrants, mayHaveGrants } from '../catalogue/database-name.ts';
import { callerOf, type Context, known } from '../context.ts';
import { HttpError } from '../http-errors.ts';
import { accountNamed, type NamedAccountDeps } from '../identity/named-account.ts';
import { databaseOfForm } from '../permissions/permissions-form.ts';
import { type PeekedPermissions, type PermissionReader } from '../permissions/permission-store.ts';
import { NOBODY } from '../principal/principal.ts';
import { sendJson } from '../respond.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { type AskedDatabaseDeps, notYours, requireMayAsk } from './asked-database.ts';
import { type ExplainQuestion, parseExplainQuestion } from './explain-question.ts';
import { type ExplainedRequest, type Explainer, type Explanation } from './explained-request.ts';
import { type Answers } from './index.ts';

export interface ExplainDeps extends AskedDatabaseDeps, NamedAccountDeps {
  readonly bodies: BodyReader;
  readonly permissions: Pick<PermissionReader, 'peek'>;
  readonly explainer: Explainer;
  /** Explains without server grants: only the owner learns who is a monitor. */
  readonly explainerForOthers: Explainer;
}

/** A body that decides is small; a large one is not needed to explain a refusal. */
const QUESTION_LIMIT_BYTES = 262_144;

/**
 * Creates the handler. The owner may ask about every request. A holder of `_security` may ask about requests
 * that are on its database as a whole, body and Destination included. It gets the answer by the grants of the
 * name alone, so it does not learn whose the name is (H23, H30).
 */
export function explainHandlers(deps: ExplainDeps): Pick<Answers, 'api-explain'> {
  return {
    async 'api-explain'(req, res, context) {
      const question = parseExplainQuestion(await readQuestion(deps, req, res));
      // The body may have arrived slowly (H19).
      await requireStillPermitted(deps.isStillPermitted, context);
      const isOwner = known(context.identified, 'identified').principal.kind === 'owner';
      const own = isOwner ? undefined : await ownDatabaseOf(deps, context, question);
      const request: ExplainedRequest = { ...question, principal: await senderOf(deps, question, isOwner) };
      const explainer = isOwner ? deps.explainer : deps.explainerForOthers;
      const explanation = await explainer.explain(request, (database) => {
        if (own !== undefined && own !== database) throw notYours();
        return peek(deps, context, database);
      });
      // The reads may have taken long.
      if (own !== undefined) await requireMayAsk(deps, context, own);
      context.outcome.change = eventOf(question, explanation);
      sendJson(res, 200, explanation, { 'Cache-Control': 'no-store' });
    },
  };
}

function readQuestion({ bodies }: ExplainDeps, req: Request, res: Response) {
  return bodies.jsonObject(req, res, { limitBytes: QUESTION_LIMIT_BYTES, exact: true });
}

/** The database of the question, if the caller may ask about it. Throws 403 for every other question. */
async function ownDatabaseOf(
  deps: ExplainDeps,
  context: Context,
  question: ExplainQuestion,
): Promise<string> {
  const database = question.address === undefined ? placeOf(deps, question) : undefined;
  await requireMayAsk(deps, context, database);
  if (database === undefined) throw notYours();
  return database;
}

/** The only database that the request can be about; undefined if there is none, or the body does not say. */
function placeOf({ explainer }: ExplainDeps, question: ExplainQuestion): string | undefined {
  const operation = explainer.placed({ ...question, principal: NOBODY });
  if (operation?.decidedByBody !== 'database-from-form') return operation?.database;
  try {
    return question.body === undefined ? undefined : databaseOfForm(parseForm(question.body), NOBODY);
  } catch (error) {
    if (error instanceof HttpError) return undefined;
    throw error;
  }
}

/** Only the owner learns what a name stands for: others get the decision for a key of that name. */
async function senderOf(
  deps: ExplainDeps,
  { sender }: ExplainQuestion,
  isOwner: boolean,
): Promise<ExplainedRequest['principal']> {
  if (sender.kind === 'nobody') return NOBODY;
  const { name } = sender;
  if (!isOwner) return { kind: 'key', name };
  const { kind, principal } = await accountNamed(deps, name);
  const isAsked = sender.kind === 'principal' || kind === 'key';
  if (principal !== undefined && isAsked) return principal;
  const reason = !isAsked ? 'unknown name' : REFUSED_BY[kind];
  return { kind: 'refused', name, reason: reason ?? 'unknown name' };
}

/** Why no credentials of such a name are valid. A key without a principal has expired. */
const REFUSED_BY: Readonly<Record<string, 'expired' | 'revoked'>> = {
  key: 'expired',
  'revoked key': 'revoked',
};

/** Reads the permissions at the cost of the caller. */
function peek(
  { permissions, reservedDatabases }: ExplainDeps,
  context: Context,
  database: string,
): Promise<PeekedPermissions | undefined> {
  if (!mayHaveGrants(database, reservedDatabases)) return Promise.resolve(undefined);
  return permissions.peek(database, callerOf(context));
}

/** The event for the audit log, without the path: it may contain a password. */
function eventOf({ sender, method }: ExplainQuestion, { operation, database, decision, rule }: Explanation) {
  const isName = database !== undefined && isOpenToGrants(database);
  return {
    action: 'explain',
    name: sender.kind === 'nobody' ? 'nobody' : sender.name,
    method,
    ...(operation === undefined ? {} : { operation }),
    ...(isName ? { database } : {}),
    decision,
    rule,
  };
}
