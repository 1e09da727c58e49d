// Builds the access-log line of a request. docs/audit-log.md documents its fields.
import { type IncomingMessage } from 'node:http';
import { type ClientAddress, type Context } from '../context.ts';
import { type AuditAction, type Endpoint, type Permit } from '../catalogue/endpoint.ts';
import { type Principal } from '../principal/principal.ts';
import { type ConnectionFacts } from './connection.ts';
import { withoutControls } from './log-text.ts';
import { maskTarget, startOf } from './mask.ts';
import { interpret } from './outcome.ts';

export interface LineParts {
  readonly context: Context;
  readonly req: IncomingMessage;
  /** Status of the answer; 0 = there was none. */
  readonly status: number;
  /** How the exchange ended (audit/outcome). */
  readonly termination: string;
  readonly connection: ConnectionFacts;
  /** Bytes sent and received for this request, heads included. The names are Cloudant's. */
  readonly bytesRead: number;
  readonly bytesUploaded: number;
  /** `performance.now()` at the end of the exchange. */
  readonly endedAt: number;
}

const MAX_USER_AGENT_LENGTH = 512;
/** log-file-search.ts reads lines of at most 1 MiB; the other fields of a line are much shorter. */
const MAX_CHANGE_BYTES = 786_432;
/** Characters of a target that was refused before it was parsed: it can be longer than any other. */
const MAX_REFUSED_LENGTH = 2048;

/**
 * Returns one JSON line, ended by a line feed. It is concatenated: a general serialiser costs several times
 * as much for every request. Fields that Cloudant's logs have keep Cloudant's names (IBM Cloudant, "IBM Cloud
 * Logs integration", table "Log lines").
 */
export function accessLine(parts: LineParts): string {
  const { context, req, connection } = parts;
  const { client, identified } = context;
  let line = `{"time":"${now()}","id":"${context.id}"`;
  if (client === undefined) line += `,"clientIp":${quote(connection.ip)},"clientPort":${connection.port}`;
  else line += connection.client.textOf(client, clientFields);
  line += `,"httpMethod":${quote(req.method ?? '')}${targetFields(context, req)}`;
  if (identified !== undefined)
    line += `${connection.principal.textOf(identified.principal, principalFields)},"authMethod":"${identified.method}"`;
  const { loginName } = context.outcome;
  if (loginName !== undefined) line += `,"loginName":${quote(loginName)}`;
  const database = context.operation?.database ?? context.outcome.namedDatabase;
  // A name with an at sign may contain a password.
  if (database !== undefined)
    line += `,"dbName":${quote(AT_SIGN.test(database) ? '***' : maskTarget(database))}`;
  line += operationFields(context) + decisionFields(context, parts.status);
  line += answerFields(parts) + timingFields(context, parts.endedAt);
  const agent = req.headers['user-agent'];
  if (agent !== undefined) line += connection.agent.textOf(agent, agentFields);
  return `${line}${connection.tlsFields}${changeFields(context, req)}}\n`;
}

/** The line of a request for which `accessLine` throws: what needs none of the functions above. */
export function shortLine({ context, req, status, connection }: LineParts): string {
  const { client, identified, operation, decision } = context;
  const line = {
    time: now(),
    id: context.id,
    clientIp: client?.ip ?? connection.ip,
    httpMethod: req.method,
    principal: identified?.principal.name,
    operation: operation?.endpoint.id,
    decision: decision?.allow === true ? 'allow' : 'deny',
    rule: decision?.rule ?? 'undecided',
    statusCode: status,
    failure: 'The line of this request cannot be built; the operational log says why.',
  };
  return `${withoutControls(JSON.stringify(line))}\n`;
}

function clientFields({ ip, port }: ClientAddress): string {
  return `,"clientIp":${quote(ip)},"clientPort":${port}`;
}

function principalFields({ name, kind }: Principal): string {
  return `,"principal":${quote(name)},"principalKind":"${kind}"`;
}

function agentFields(agent: string): string {
  return `,"userAgent":${quote(agent.slice(0, MAX_USER_AGENT_LENGTH))}`;
}

let second = 0;
let secondText = '';

/** The time in ISO 8601. The date is formatted once a second: it costs more than the rest of the line. */
function now(): string {
  const time = Date.now();
  const thisSecond = Math.floor(time / 1000);
  if (thisSecond !== second) {
    second = thisSecond;
    secondText = new Date(second * 1000).toISOString().slice(0, 20);
  }
  const milliseconds = time % 1000;
  return `${secondText}${milliseconds < 10 ? '00' : milliseconds < 100 ? '0' : ''}${milliseconds}Z`;
}

/** A string as JSON. Printable ASCII is only quoted; what could end the line or the string is escaped. */
export function quote(text: string): string {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x22 || code === 0x5c || code > 0x7e) return escape(text);
  }
  return `"${text}"`;
}

function escape(text: string): string {
  return withoutControls(JSON.stringify(text));
}

/**
 * The fields of the canonical target. If the target was refused before it was parsed, it is shown only if it
 * is a path: other forms may contain a password.
 */
function targetFields(context: Context, req: IncomingMessage): string {
  const { target } = context;
  if (target !== undefined) {
    const query = target.query === '' ? '' : `,"rawQueryString":${quote(maskTarget(target.query).slice(1))}`;
    return `,"httpRequest":${quote(maskPath(target.path, req.url ?? ''))}${query}`;
  }
  const raw = startOf(req.url ?? '', MAX_REFUSED_LENGTH);
  return `,"httpRequest":${raw.startsWith('/') ? quote(maskPath(raw, raw)) : '"(not a path)"'}`;
}

/** An at sign, however often it is encoded. CouchDB does not allow it in the name of a database. */
const AT_SIGN = /@|%(?:25)*40/;

/**
 * Masks the path as the client wrote it: its canonical form has one slash in place of two. The first segment
 * of `//name:password@host/db` is no database, so it is masked as a whole.
 */
function maskPath(path: string, raw: string): string {
  if (!raw.includes('@') && !(raw.includes('%') && raw.includes('40'))) return maskTarget(path);
  const queryAt = raw.indexOf('?');
  const written = queryAt === -1 ? raw : raw.slice(0, queryAt);
  const maskedRaw = maskTarget(written);
  // A target that was refused unread still has its query.
  const query = path === raw && queryAt !== -1 ? maskTarget(raw.slice(queryAt)) : '';
  const masked = maskedRaw === written ? maskTarget(path === raw ? written : path) : maskedRaw;
  const start = masked.search(/[^/]/);
  if (start === -1) return masked + query;
  const slash = masked.indexOf('/', start);
  const end = slash === -1 ? masked.length : slash;
  const isName = !AT_SIGN.test(masked.slice(start, end));
  return (isName ? masked : `${masked.slice(0, start)}***${masked.slice(end)}`) + query;
}

const fieldsOfEndpoint = new WeakMap<Endpoint, string>();

/** The fields of the endpoint that was applied, else of the classified one. Cached per endpoint. */
function operationFields(context: Context): string {
  const { decision, operation } = context;
  const endpoint = decision?.allow === true ? decision.endpoint : operation?.endpoint;
  if (endpoint === undefined) return '';
  let fields = fieldsOfEndpoint.get(endpoint);
  if (fields === undefined) {
    fields =
      `,"operation":${quote(endpoint.id)},"dbRequest":${quote(endpoint.path)}` +
      `,"requestClass":"${endpoint.action}","needed":${quote(describePermit(endpoint.permit))}`;
    fieldsOfEndpoint.set(endpoint, fields);
  }
  return fields;
}

/** Who may call an endpoint: `public`, `owner`, `_reader`, `_reader or _design+_writer`. */
export function describePermit(permit: Permit): string {
  if (permit.kind !== 'roles') return permit.kind;
  return permit.roles.length === 0 ? 'owner' : permit.roles.map((all) => all.join('+')).join(' or ');
}

/** The decision, its rule, and the reason of a refusal. */
function decisionFields(context: Context, status: number): string {
  const { decision, rule, reason } = interpret(context, status);
  if (decision === 'allow') return allowedFields(rule);
  const fields = `,"decision":"deny","rule":${quote(rule)}`;
  return reason === undefined ? fields : `${fields},"reason":${quote(maskReason(reason))}`;
}

/** Some reasons repeat names of the request in quotes. A name with an at sign may contain a password. */
function maskReason(reason: string): string {
  const masked = maskTarget(reason);
  if (!AT_SIGN.test(reason)) return masked;
  const unnamed = masked.replace(/(['"`]).*\1/su, '$1***$1');
  return AT_SIGN.test(unnamed) ? '***' : unnamed;
}

const fieldsOfRule = new Map<string, string>();

/** Cached: only few rules permit, and all their names are in the code. */
function allowedFields(rule: string): string {
  let fields = fieldsOfRule.get(rule);
  if (fields === undefined) fieldsOfRule.set(rule, (fields = `,"decision":"allow","rule":${quote(rule)}`));
  return fields;
}

function answerFields({ context, status, termination, bytesRead, bytesUploaded }: LineParts): string {
  const { outcome, upstream } = context;
  let fields = `,"statusCode":${status},"bytesRead":${bytesRead},"bytesUploaded":${bytesUploaded},"terminationState":"${termination}"`;
  if (upstream.node !== undefined) fields += `,"node":${quote(upstream.node)}`;
  if (upstream.status !== undefined) fields += `,"nodeStatus":${upstream.status}`;
  if (outcome.cutShort !== undefined) fields += `,"ended":${quote(outcome.cutShort)}`;
  if (outcome.failure !== undefined) fields += `,"failure":${quote(maskTarget(outcome.failure))}`;
  return fields;
}

/** Milliseconds until the request was sent, the head arrived and the answer ended, and in total. */
function timingFields({ startedAt, upstream }: Context, endedAt: number): string {
  const { sentAt, answeredAt } = upstream;
  const response = tenths(endedAt - startedAt);
  if (sentAt === undefined) return `,"timings":{"response":${response}}`;
  const wait = tenths(sentAt - startedAt);
  if (answeredAt === undefined) return `,"timings":{"wait":${wait},"response":${response}}`;
  return `,"timings":{"wait":${wait},"upstream":${tenths(answeredAt - sentAt)},"transfer":${tenths(endedAt - answeredAt)},"response":${response}}`;
}

/** Rounds to tenths and formats two whole numbers: V8 takes much longer for a fraction. */
function tenths(milliseconds: number): string {
  const rounded = Math.round(milliseconds * 10);
  const rest = rounded % 10;
  return rest === 0 ? `${rounded / 10}` : `${(rounded - rest) / 10}.${rest}`;
}

const MANAGEMENT_ACTIONS: ReadonlySet<AuditAction> = new Set([
  'session',
  'permissions',
  'key',
  'configuration',
  'backup',
]);

/** Marks changes of keys, permissions, sessions, configuration and backups. Never shows a secret. */
function changeFields(context: Context, req: IncomingMessage): string {
  const { operation } = context;
  const { change } = context.outcome;
  const isManagement =
    operation !== undefined &&
    MANAGEMENT_ACTIONS.has(operation.endpoint.action) &&
    req.method !== 'GET' &&
    req.method !== 'HEAD';
  if (change === undefined) return isManagement ? ',"management":true' : '';
  return `,"management":true,"change":${changeText(change)}`;
}

/** The change as JSON. A long one is without its lists: no reader of the log would show the line (H35). */
function changeText(change: Readonly<Record<string, unknown>>): string {
  const text = withoutControls(JSON.stringify(change));
  if (Buffer.byteLength(text) <= MAX_CHANGE_BYTES) return text;
  const fields = Object.entries(change);
  const isList = ([, value]: readonly [string, unknown]): boolean =>
    typeof value === 'object' && value !== null;
  const kept = Object.fromEntries(fields.filter((field) => !isList(field)));
  const notShown = fields.filter(isList).map(([name]) => name);
  return withoutControls(JSON.stringify({ ...kept, notShown }));
}
