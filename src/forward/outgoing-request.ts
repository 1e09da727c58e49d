// Builds the request that CouchDB gets: method, target, headers, token and connection plan.
import { type IncomingMessage } from 'node:http';
import { type Allowed, callerOf, type Context, known } from '../context.ts';
import { quotaKeyOf, sharedKeyOf } from '../principal/caller.ts';
import { HeaderTooLong } from '../http-errors.ts';
import { type Principal } from '../principal/principal.ts';
import { isSeenByFunction } from '../catalogue/functions.ts';
import { isEncoded, isMultipart } from '../body/decode.ts';
import { type AtomGate } from '../body/erlang-terms.ts';
import { mayBeWhole, refuseBuffered } from '../body/whole-answer.ts';
import { type TokenMinter } from '../identity/token-minter.ts';
import { type CouchNode, isWhole } from './node.ts';
import {
  bodyOf,
  type CouchHeaders,
  GUARDED_TYPE,
  isFormUpload,
  MAX_HEADER_LENGTH,
  refererForForm,
  type RequestBody,
  requestHeaders,
} from './request-headers.ts';
import { publicOrigin } from './public-origin.ts';
import { planConnection, type ConnectionPlan } from './connection-plan.ts';
import { refuseTerms } from './sequences.ts';

export interface OutgoingServices {
  readonly tokens: TokenMinter;
  readonly publicUrl: string;
  /** Counts the atoms of sequences and bookmarks that CouchDB gets (H20). */
  readonly atoms: AtomGate;
}

/** One permitted request in the form for CouchDB, the same for every attempt. */
export class OutgoingRequest {
  readonly method: string;
  /** The path and query that were classified, byte for byte, but for `context.sentQuery`. */
  readonly url: string;
  readonly plan: ConnectionPlan;
  readonly body: RequestBody;
  readonly multipart: boolean;
  /** True if the same node must answer every time. */
  readonly asksOneNode: boolean;
  /** Key of the quota of a node that the request counts against. */
  readonly caller: string;
  readonly #headers: CouchHeaders;
  /** The host that functions of design documents see; undefined = that of the node. */
  readonly #publicHost: string | undefined;
  readonly #req: IncomingMessage;
  readonly #tokens: TokenMinter;
  readonly #principal: Principal;
  readonly #decision: Allowed;
  readonly #database: string | undefined;

  /** Throws BadRequest for headers that have more than one reading, and for parameters that harm a node. */
  constructor(
    req: IncomingMessage,
    context: Context,
    decision: Allowed,
    { tokens, publicUrl, atoms }: OutgoingServices,
  ) {
    const { headers } = req;
    const target = known(context.target, 'target');
    this.method = req.method ?? 'GET';
    this.url = target.path + (context.sentQuery ?? target.query);
    const caller = callerOf(context);
    this.#principal = caller.principal;
    refuseBuffered(target.query);
    const lastEventId = headers['last-event-id'] as string | undefined;
    refuseTerms(target.query, lastEventId, sharedKeyOf(caller), atoms);
    this.body = bodyOf(headers, context.guardedBody ?? context.body);
    this.multipart = isMultipart(req);
    this.asksOneNode = decision.endpoint.path.startsWith('/_node/');
    const isAttachment = decision.endpoint.body === 'attachment';
    // Authorize reads and decodes such a body; CouchDB would inflate it without a limit (H20).
    if (this.body.kind === 'stream' && !isAttachment && isEncoded(req))
      throw new Error('an encoded body was not decoded');
    const hasBody = this.body.kind !== 'none';
    const isWholeAnswer = mayBeWhole(decision.endpoint.body, target.query, this.body);
    this.plan = planConnection(
      decision.endpoint.pool,
      target,
      context.guardedBody === undefined ? headers['content-type'] : GUARDED_TYPE,
      hasBody,
      isWholeAnswer,
    );
    this.caller = isWhole(this.plan.queue) ? sharedKeyOf(caller) : quotaKeyOf(caller);
    this.#headers = requestHeaders(
      headers,
      this.body,
      isAttachment ? headers['content-encoding'] : undefined,
      context,
    );
    const origin = isSeenByFunction(decision.endpoint, target.query)
      ? publicOrigin(publicUrl, headers.host, known(context.client, 'client').secure)
      : undefined;
    this.#publicHost = origin?.host;
    if (origin !== undefined) {
      this.#headers['x-forwarded-host'] = origin.host;
      this.#headers['x-forwarded-proto'] = origin.scheme;
    }
    this.#req = req;
    this.#tokens = tokens;
    this.#decision = decision;
    this.#database = known(context.operation, 'operation').database;
  }

  /** GET and HEAD are safe methods (RFC 9110 section 9.2.1), so they may be sent twice. */
  get retryable(): boolean {
    return this.method === 'GET' || this.method === 'HEAD';
  }

  /** The Host header for one node. CouchDB builds its Location headers from it. */
  hostFor(node: CouchNode): string {
    return this.#publicHost ?? node.host;
  }

  /**
   * True if undici may carry the request: its body is in memory. undici closes the connection after a HEAD,
   * and takes the name in the node's certificate from the Host header. It keeps the body until the answer is
   * complete, which takes too much memory for a read that goes on without its client (abandoned-read.ts).
   */
  get mayUseKeptConnection(): boolean {
    const needsProxy = this.method === 'HEAD' || this.#publicHost !== undefined || isWhole(this.plan.queue);
    return this.body.kind !== 'stream' && !needsProxy;
  }

  /** The headers for one node without Host, with a token that is still valid when the node receives it. */
  headersFor(node: CouchNode): CouchHeaders {
    const headers = this.#headers;
    const token = this.#tokens.tokenFor(this.#principal, this.#decision, this.#database);
    if (token !== undefined) headers['authorization'] = bearer(token);
    if (isFormUpload(this.#req.headers) || this.#decision.endpoint.id.endsWith('-post-form')) {
      const referer = refererForForm(this.#req.headers, this.hostFor(node));
      if (referer === undefined) delete headers['referer'];
      else headers['referer'] = referer;
    }
    return headers;
  }
}

/** The names and roles of a user are in the token. CouchDB cannot read a header that is too long. */
function bearer(token: string): string {
  const value = `Bearer ${token}`;
  if ('authorization'.length + value.length > MAX_HEADER_LENGTH)
    throw new HeaderTooLong(
      'authorization',
      'The name and the roles of the caller are too long for CouchDB.',
    );
  return value;
}
