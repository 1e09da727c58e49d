// Types of a parsed request: its target and its operation.
import { type Endpoint } from './endpoint.ts';

/** The request target, parsed once by the rules of CouchDB (H7). */
export interface Target {
  /** Decoded path segments without empty ones. `_design%2Fx` is split into two segments. */
  readonly segments: readonly string[];
  /** Path that is sent to CouchDB: the segments, encoded again. */
  readonly path: string;
  /** Query string with its `?`, or the empty string; forwarded unchanged. */
  readonly query: string;
}

/** Target of a COPY: the decoded id, and the header that is sent to CouchDB with its `?rev=`. */
export interface Destination {
  readonly id: string;
  readonly header: string;
}

/**
 * Part of the body that decides. `document-id` and `bulk-ids`: the ids choose the endpoint (H10).
 * `database-from-form`: the field `database` of a form names the database whose grants apply.
 */
export type DecidedByBody = 'document-id' | 'bulk-ids' | 'database-from-form';

/** The operation that a request asks for. */
export interface Operation {
  /** The endpoint. If the body chooses between several, this is the first of `alternatives`. */
  readonly endpoint: Endpoint;
  /** The endpoints between which the body chooses; empty if method and path identify one. */
  readonly alternatives: readonly Endpoint[];
  readonly decidedByBody: DecidedByBody | undefined;
  /** Database whose grants apply; undefined for server endpoints. */
  readonly database: string | undefined;
  /**
   * Document id as CouchDB parses it, including `_design/` or `_local/`; undefined if the path names none.
   */
  readonly documentId: string | undefined;
  /**
   * For one document of `_users`: what its own user may do, if the settings say so (authorize/own-user.ts).
   */
  readonly userDocument?: 'read' | 'write' | undefined;
}
