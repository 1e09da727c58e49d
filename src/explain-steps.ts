// Explains what happens to a request: runs the steps of the pipeline on it, without their effects. Nothing is
// forwarded, cached or watched, and the rules have no second reading.
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { type Request, type RequestHandler, type Response } from 'express';
import { refuseUnknownAddress } from './admit/address.ts';
import { refuseAmbiguousFraming } from './admit/framing.ts';
import { applyOriginRules } from './admit/origin.ts';
import { readTarget } from './admit/target.ts';
import {
  type ExplainedRequest,
  type Explainer,
  type Explanation,
  type PermissionLookup,
  type TraceEntry,
} from './answer/explained-request.ts';
import { type OtherGrants } from './authorize/decide-now.ts';
import { authorizeOperation, type AuthorizeDeps } from './authorize/index.ts';
import { refuseReadStructure } from './authorize/body-checks.ts';
import { type AtomCount } from './body/erlang-terms.ts';
import { BodyNotGiven, GivenBody } from './body/given-body.ts';
import { type Operation } from './catalogue/operation.ts';
import { classifyRequest } from './classify/index.ts';
import { type Settings } from './config/settings.ts';
import { Context, contextOf, known } from './context.ts';
import {
  decisionOf,
  isForMissingRoles,
  isForwarded,
  nextStepOf,
  operationOf,
  principalOf,
  ruleOf,
} from './explanation.ts';
import { type SourcedGrants, sourcesOf } from './explained-sources.ts';
import { HttpError, Unauthorized } from './http-errors.ts';
import { type DatabasePermissions } from './permissions/grants.ts';
import { textOfRevision } from './permissions/precondition.ts';
import { NO_ROLES, type Role, ROLES, roleSet } from './permissions/role.ts';

/** The settings of the steps, and those that a reload replaces. */
export interface ExplainStepsDeps extends OtherGrants {
  readonly prefixGrants: SourcedGrants['prefixGrants'];
  readonly settings: Settings;
  readonly atoms: Pick<AtomCount, 'question'>;
  readonly live: { readonly current: Settings };
}

interface Exchange {
  readonly req: Request;
  readonly res: Response;
  readonly context: Context;
}

type ReadPermissions = (database: string) => Promise<DatabasePermissions | undefined>;

/** The roles that `missing` names: `_admin` permits nearly everything, so it comes last. */
const PROPOSED = ROLES.filter((role) => role !== '_admin');
/** No endpoint needs more roles together. */
const MAX_TOGETHER = 2;

/** A question is not sent: its body uses nothing up. */
type Budgets = Pick<AuthorizeDeps, 'valueBudget' | 'atoms'>;

type Handlers = Readonly<Record<'address' | 'origin' | 'framing' | 'target' | 'classify', RequestHandler>>;

/** Creates the explainer with steps of its own, made from the same settings as those of requests. */
export function createExplainer(deps: ExplainStepsDeps): Explainer {
  const { settings, live } = deps;
  const budgets: Budgets = { valueBudget: () => () => undefined, atoms: deps.atoms.question };
  return new StepExplainer(settings, deps, budgets, {
    address: refuseUnknownAddress(live),
    origin: applyOriginRules(live, settings),
    framing: refuseAmbiguousFraming(settings),
    target: readTarget(settings),
    classify: classifyRequest(settings),
  });
}

class StepExplainer implements Explainer {
  readonly #settings: Settings;
  readonly #grants: SourcedGrants;
  readonly #budgets: Budgets;
  readonly #handlers: Handlers;

  constructor(settings: Settings, grants: SourcedGrants, budgets: Budgets, handlers: Handlers) {
    this.#settings = settings;
    this.#grants = grants;
    this.#budgets = budgets;
    this.#handlers = handlers;
  }

  placed(request: ExplainedRequest): Operation | undefined {
    const { req, res, context } = exchangeOf(request);
    const { target, classify } = this.#handlers;
    try {
      void target(req, res, () => undefined);
      void classify(req, res, () => undefined);
    } catch (error) {
      if (error instanceof HttpError) return undefined;
      throw error;
    }
    return context.operation;
  }

  async explain(request: ExplainedRequest, lookup: PermissionLookup): Promise<Explanation> {
    const exchange = exchangeOf(request);
    const { context } = exchange;
    const read: { database?: string; found?: Awaited<ReturnType<PermissionLookup>> } = {};
    const permissionsOf: ReadPermissions = async (database) => {
      if (read.database !== database) Object.assign(read, { database, found: await lookup(database) });
      return read.found?.permissions;
    };
    const trace: TraceEntry[] = [];
    let refusal: HttpError | undefined;
    for (const [step, handler, describe] of this.#stepsOf(request, context, permissionsOf)) {
      refusal = await refusalBy(handler, exchange);
      trace.push({ step, outcome: refusal === undefined ? describe() : `refused: ${refusal.reason}` });
      if (refusal !== undefined || exchange.res.writableEnded) break;
      if (step === 'authorize' && !isForwarded(context)) {
        trace.push({ step: nextStepOf(context), outcome: 'not run' });
        break;
      }
    }
    const { database, found } = read;
    const sources = sourcesOf(context, database, found?.permissions, this.#grants);
    const decided = decisionOf(context, sources, refusal);
    const missing =
      found !== undefined && isForMissingRoles(decided)
        ? await this.#missingFor(request, exchange, found.permissions)
        : [];
    const revision = found === undefined ? undefined : textOfRevision(found);
    return { ...decided, database: database ?? decided.database, sources, missing, revision, trace };
  }

  /** The steps of src/app.ts, and how each is described when it passes the request on. */
  #stepsOf(
    request: ExplainedRequest,
    context: Context,
    permissionsOf: ReadPermissions,
  ): readonly (readonly [name: string, handler: RequestHandler, describe: () => string])[] {
    const { address, origin, framing, target, classify } = this.#handlers;
    return [
      request.address === undefined
        ? ['address', anyAddress, () => 'not part of the question']
        : ['address', address, () => 'allowed'],
      ['origin', origin, () => (context.outcome.isPreflight ? 'preflight' : 'passed')],
      ['framing', framing, () => 'passed'],
      ['target', target, () => known(context.target, 'target').path],
      ['classify', classify, () => operationOf(context)],
      ['authenticate', authenticate(request), () => principalOf(context)],
      ['authorize', this.#authorize(permissionsOf, request.body), () => ruleOf(context)],
      ['forward', this.#measureStreamed(request.body), () => 'not run'],
    ];
  }

  #authorize(permissionsOf: ReadPermissions, body: Buffer | undefined): RequestHandler {
    return authorizeOperation({
      ...this.#settings,
      permissions: { permissionsOf },
      grants: this.#grants,
      // A question writes nothing.
      markDatabase: () => Promise.resolve(),
      bodies: new GivenBody(body),
      ...this.#budgets,
      revocationWatch: { register: () => () => undefined },
      isStillAuthenticated: () => true,
    });
  }

  /** The check of forward on a bulk write whose body authorize has not read. */
  #measureStreamed(body: Buffer | undefined): RequestHandler {
    const limits = { ...this.#settings, ...this.#budgets };
    return function measureStreamedStep(req, res, next) {
      const { operation, body: read } = contextOf(req);
      if (operation?.decidedByBody !== 'bulk-ids' || read !== undefined) {
        next();
        return;
      }
      new GivenBody(body)
        .read(req, res, { limitBytes: Infinity })
        .then(() => refuseReadStructure(limits, req, res, operation.endpoint))
        .then(() => next(), next);
    };
  }

  /** The smallest sets of roles with which the request would be permitted. */
  async #missingFor(
    request: ExplainedRequest,
    from: Exchange,
    permissions: DatabasePermissions,
  ): Promise<readonly (readonly Role[])[]> {
    for (let size = 1; size <= MAX_TOGETHER; size += 1) {
      const found: (readonly Role[])[] = [];
      for (const roles of setsOf(PROPOSED, size))
        if (await this.#wouldAllow(request, from, permissions, roles)) found.push(roles);
      if (found.length > 0) return found;
    }
    return (await this.#wouldAllow(request, from, permissions, ['_admin'])) ? [['_admin']] : [];
  }

  /** True if the request would be permitted, or would depend on its body, with further roles. */
  async #wouldAllow(
    { principal: { name }, body }: ExplainedRequest,
    from: Exchange,
    permissions: DatabasePermissions,
    roles: readonly Role[],
  ): Promise<boolean> {
    // Only the grants of the principal count.
    const grants = new Map([[name, (permissions.grants.get(name) ?? NO_ROLES) | roleSet(roles)]]);
    const exchange = exchangeWith(from.req);
    const { client, target, destination, operation, identified } = from.context;
    Object.assign(exchange.context, { client, target, destination, operation, identified });
    const handler = this.#authorize(() => Promise.resolve({ ...permissions, grants }), body);
    const refusal = await refusalBy(handler, exchange);
    return refusal === undefined || refusal instanceof BodyNotGiven;
  }
}

/** Where the address is not part of the question, it permits everything. */
const anyAddress: RequestHandler = (req, _res, next) => {
  contextOf(req).client = { ip: '', port: 0, secure: true, schemeKnown: false, mayAdminister: true };
  next();
};

/** The step that gives the request its principal. Invalid credentials are refused for every path. */
function authenticate({ principal }: ExplainedRequest): RequestHandler {
  return function authenticateStep(req, _res, next) {
    const context = contextOf(req);
    if (principal.kind === 'refused') {
      context.outcome.refuseLogin(principal);
      next(new Unauthorized(`No credentials of this name are valid: ${principal.reason}.`));
      return;
    }
    context.identified = { principal, method: principal.kind === 'nobody' ? 'none' : 'basic' };
    next();
  };
}

/** Runs one step; `undefined` = it passed the request on, or answered it. Rejects with any other error. */
async function refusalBy(handler: RequestHandler, { req, res }: Exchange): Promise<HttpError | undefined> {
  const failed = await new Promise<unknown>((resolve) => {
    try {
      void handler(req, res, (error?: unknown) => resolve(error));
      if (res.writableEnded) resolve(undefined);
    } catch (error) {
      resolve(error);
    }
  });
  if (failed === undefined || (failed instanceof HttpError && failed.status < 500)) return failed;
  throw failed instanceof Error ? failed : new Error('a step failed without an error');
}

/** Node's parser calls it with the raw headers; the class joins and drops repeated ones. */
interface ParsedMessage {
  _addHeaderLines(raw: readonly string[], length: number): void;
}

function exchangeOf({ method, path, headers, address }: ExplainedRequest): Exchange {
  const socket = new Socket();
  Object.defineProperty(socket, 'remoteAddress', { value: address });
  return exchangeWith({ socket, method, url: path, rawHeaders: headers.flat() });
}

function exchangeWith({
  socket,
  method,
  url,
  rawHeaders,
}: Pick<Request, 'socket' | 'method' | 'url' | 'rawHeaders'>): Exchange {
  const context = new Context();
  const req = Object.assign(new IncomingMessage(socket) as Request, { method, url, context });
  (req as unknown as ParsedMessage)._addHeaderLines(rawHeaders, rawHeaders.length);
  return { req, res: new ServerResponse(req) as unknown as Response, context };
}

/** All sets of `size` of the roles, in their order. */
function setsOf(roles: readonly Role[], size: number): readonly (readonly Role[])[] {
  if (size === 1) return roles.map((role) => [role]);
  return roles.flatMap((role, at) =>
    setsOf(roles.slice(at + 1), size - 1).map((others) => [role, ...others]),
  );
}
