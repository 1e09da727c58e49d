// One reading of a request: the target as segments, and the operation it asks for. Reading is admit's business, matching classify's.
import { type Endpoint } from './endpoint.ts';

/** The request target, read once the way CouchDB reads it. `path` is re-encoded from `segments` and is what CouchDB gets. */
export interface Target {
  /** Decoded path segments without empty ones; `_design%2Fx` is already two segments. */
  readonly segments: readonly string[];
  /** `/` + the encoded segments, the only spelling that is ever forwarded. */
  readonly path: string;
  /** Query string with its `?`, or the empty string; forwarded as it came. */
  readonly query: string;
}

/** Where a COPY writes: the decoded Destination header, and its one re-encoded spelling with the `?rev=` it had. */
export interface Destination {
  readonly id: string;
  readonly header: string;
}

/** Which part of a request body has a say: ids in the choice of the row (hazards H10), a form's `database` in whose grants decide. */
export type DecidedByBody = 'document-id' | 'bulk-ids' | 'database-from-form';

/** What a request asks for. */
export interface Operation {
  /** The row; where the body decides between several, the first of `alternatives`. */
  readonly endpoint: Endpoint;
  /** The rows between which the body decides, empty where it has no say. */
  readonly alternatives: readonly Endpoint[];
  readonly decidedByBody: DecidedByBody | undefined;
  /** The database whose grants decide; undefined for server endpoints. */
  readonly database: string | undefined;
  /** The document id as CouchDB will read it (`_design/x`, `_local/x` included), where the path names one. */
  readonly documentId: string | undefined;
}
