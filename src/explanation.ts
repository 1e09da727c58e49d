// Describes how the steps have decided about a request, in the words of the access log.
import { type Explanation } from './answer/explained-request.ts';
import { describePermit } from './audit/line.ts';
import { interpret } from './audit/outcome.ts';
import { BodyNotGiven } from './body/given-body.ts';
import { type EndpointId } from './catalogue/catalogue.ts';
import { type Endpoint } from './catalogue/endpoint.ts';
import { runsValidation, runsWithRequest } from './catalogue/functions.ts';
import { type Allowed, type Context, known } from './context.ts';
import { type HttpError } from './http-errors.ts';

type Decided = Omit<Explanation, 'sources' | 'missing' | 'revision' | 'trace'>;

/** What is decided about a request after authorize, by something that is not part of a question. */
const DECIDED_LATER: ReadonlyMap<string, string> = new Map<EndpointId, string>([
  ['replicate', 'Couchgate checks the job in the body as well.'],
  ['replicator-write', 'Couchgate checks the jobs in the body as well.'],
  ['users-any', 'Couchgate checks the names of the users in the request as well.'],
  ['users-own-write', 'Couchgate checks the fields in the body as well.'],
  ['users-sign-up', 'The name and the body decide as well.'],
  ['session-login', 'The credentials in the body decide as well.'],
  ['api-access', 'The database of the question decides as well.'],
  ['api-explain', 'The database of the question decides as well.'],
]);
/** The owner may ask about every database. */
const OPEN_TO_OWNER: ReadonlySet<string> = new Set<EndpointId>(['api-access', 'api-explain']);

/**
 * The decision about a request. `sources` are the roles of its sender, `refusal` is the error of the step
 * that refused it.
 */
export function decisionOf(
  context: Context,
  sources: Explanation['sources'],
  refusal: HttpError | undefined,
): Decided {
  const endpoint = endpointOf(context);
  const { decision, rule, reason } = interpret(context, refusal?.status ?? 200);
  const common = {
    status: undefined,
    operation: endpoint?.id,
    database: context.operation?.database,
    needed: endpoint === undefined ? undefined : describePermit(endpoint.permit),
    held: heldBy(sources),
    couchdb: [],
  };
  if (refusal instanceof BodyNotGiven)
    return { ...common, decision: 'unknown', rule: 'body', reason: refusal.reason };
  if (decision === 'deny')
    return { ...common, decision, rule, reason: reason ?? refusal?.reason, status: refusal?.status };
  const later = decidedLater(context);
  if (later !== undefined) return { ...common, decision: 'unknown', rule, reason: later };
  const applied = context.decision?.allow === true ? context.decision : undefined;
  return {
    ...common,
    decision,
    rule,
    reason: undefined,
    couchdb: applied === undefined ? [] : afterUs(applied),
  };
}

/** True if further roles could permit the request. */
export function isForMissingRoles({ decision, rule }: Decided): boolean {
  return decision === 'deny' && rule === 'grant';
}

/** The endpoint that was applied, else the classified one. */
function endpointOf({ decision, operation }: Context): Endpoint | undefined {
  return decision?.allow === true ? decision.endpoint : operation?.endpoint;
}

/** All roles of the sources, each once. */
function heldBy(sources: Explanation['sources']): readonly string[] {
  return [...new Set(sources.flatMap(({ roles }) => roles))];
}

function decidedLater(context: Context): string | undefined {
  const endpoint = endpointOf(context);
  const later = endpoint === undefined ? undefined : DECIDED_LATER.get(endpoint.id);
  if (endpoint === undefined || later === undefined) return undefined;
  const isOwner = known(context.identified, 'identified').principal.kind === 'owner';
  if (isOwner && OPEN_TO_OWNER.has(endpoint.id)) return undefined;
  return later;
}

/** What CouchDB decides after Couchgate. */
function afterUs({ endpoint, identity }: Allowed): readonly string[] {
  if (endpoint.servedBy === 'couchgate') return [];
  return [
    ...(identity === 'own' ? ['couchdb_auth_only'] : []),
    ...(runsValidation(endpoint) ? ['validate_doc_update'] : []),
    ...(runsWithRequest(endpoint) ? ['functions of the design document'] : []),
  ];
}

/** For the trace: the endpoint and its database. */
export function operationOf(context: Context): string {
  const { endpoint, database, decidedByBody } = known(context.operation, 'operation');
  const on = database === undefined ? '' : ` on ${database}`;
  return `${endpoint.id}${on}${decidedByBody === undefined ? '' : ', or another by the body'}`;
}

/** For the trace: the principal and its kind. */
export function principalOf(context: Context): string {
  const { kind, name } = known(context.identified, 'identified').principal;
  return kind === 'nobody' ? kind : `${kind} ${name}`;
}

/** For the trace: the rule that permitted the request. */
export function ruleOf(context: Context): string {
  const decision = known(context.decision, 'decision');
  return `${decision.allow ? 'permitted' : 'refused'}: ${decision.rule}`;
}

/** True if the next step is forward. */
export function isForwarded(context: Context): boolean {
  return endpointOf(context)?.servedBy === 'couchdb';
}

/** The step that would get a request which is not forwarded at once. */
export function nextStepOf(context: Context): string {
  return endpointOf(context)?.servedBy === 'guard' ? 'guard' : 'answer';
}
