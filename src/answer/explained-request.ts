// Types of a request that is explained, and of its explanation.
import { type Operation } from '../catalogue/operation.ts';
import { type RefusedLogin } from '../identity/refused-login.ts';
import { type PeekedPermissions } from '../permissions/permission-store.ts';
import { type Role } from '../permissions/role.ts';
import { type Principal } from '../principal/principal.ts';

/** A name without valid credentials. */
export interface RefusedName {
  readonly kind: 'refused';
  readonly name: string;
  readonly reason: RefusedLogin['reason'];
}

/** A request as the parser of the server would give it. */
export interface ExplainedRequest {
  readonly principal: Principal | RefusedName;
  readonly method: string;
  /** The raw target. */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The decoded body; undefined = not given. */
  readonly body: Buffer | undefined;
  /** Address of the client; undefined = the address is not part of the question. */
  readonly address: string | undefined;
}

/** Reads the permissions of a database. It may throw, for a database that the question is not about. */
export type PermissionLookup = (database: string) => Promise<PeekedPermissions | undefined>;

/** Where roles of the sender come from. */
export interface ExplainedSource {
  readonly source: '_security' | 'prefix grant' | 'server grant' | 'owner';
  readonly roles: readonly string[];
  /** Id of the prefix grant. */
  readonly grant?: string;
  /** The prefix grant lets the sender create or delete databases. */
  readonly create?: true;
  readonly delete?: true;
}

export interface TraceEntry {
  readonly step: string;
  readonly outcome: string;
}

export interface Explanation {
  /** `unknown` = something decides that is not part of the question. */
  readonly decision: 'allow' | 'deny' | 'unknown';
  /** As in the access log. */
  readonly rule: string;
  readonly reason: string | undefined;
  /** Status of the refusal. */
  readonly status: number | undefined;
  /** Id of the endpoint; undefined if the request was refused before it was classified. */
  readonly operation: string | undefined;
  /** Database whose permissions decided. */
  readonly database: string | undefined;
  readonly needed: string | undefined;
  /** The roles of all sources. */
  readonly held: readonly string[];
  readonly sources: readonly ExplainedSource[];
  /** The smallest sets of roles that would permit the request in addition. */
  readonly missing: readonly (readonly Role[])[];
  /** The state of the permissions that were read. */
  readonly revision: string | undefined;
  /** What CouchDB decides after Couchgate. */
  readonly couchdb: readonly string[];
  readonly trace: readonly TraceEntry[];
}

export interface Explainer {
  /** The operation of the request; undefined if its target or its Destination is refused. Reads nothing. */
  placed(request: ExplainedRequest): Operation | undefined;
  /** Runs the steps. Throws what `lookup` throws, and `Unavailable`. */
  explain(request: ExplainedRequest, lookup: PermissionLookup): Promise<Explanation>;
}
