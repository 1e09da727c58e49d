// Finds CouchDB's refusal of a path in a database that matches no endpoint. Such a path is always refused.
import { ATTACHMENT_METHODS, READ_ATTACHMENTS } from '../catalogue/allowed-methods.ts';
import { endpoint } from '../catalogue/catalogue.ts';
import { illegalNameReason } from '../catalogue/database-name.ts';
import { type Blocked, type Endpoint } from '../catalogue/endpoint.ts';
import { type Destination } from '../catalogue/operation.ts';
import { refusal } from '../catalogue/parse.ts';

const RESERVED_ID = refusal(
  400,
  'illegal_docid',
  'Only reserved document ids may start with underscore.',
  'holders',
);
const NO_DESTINATION = refusal(400, 'bad_request', 'Destination header is mandatory for COPY.', 'holders');
const NO_LOCAL_NAME = refusal(400, 'bad_request', 'Invalid _local document id.', 'holders');
const NO_PARTITION = refusal(400, 'bad_request', 'invalid_partition_req', 'holders');
const RESERVED_PARTITION = refusal(
  400,
  'illegal_partition',
  'Partition must not start with an underscore',
  'holders',
);
const NO_REFERER = refusal(400, 'bad_request', 'Referer header required.', 'holders');
const MISSING = refusal(404, 'not_found', 'missing', 'holders');
const NO_ATTACHMENT = refusal(404, 'not_found', 'Document is missing attachment', 'holders');
const NOT_FOR_DOCUMENTS = wrongMethod('DELETE,GET,HEAD,POST,PUT,COPY');
const NOT_FOR_ATTACHMENTS = wrongMethod(ATTACHMENT_METHODS);
const NOT_FOR_VIEWS = wrongMethod('GET,POST,HEAD');

/**
 * Refusals of a design document's handlers without a name, or with too many. A Map: the name is the client's,
 * and every plain object has `__proto__` (H7.3).
 */
const IN_DESIGN: ReadonlyMap<string, Blocked> = new Map([
  ['_view', NOT_FOR_VIEWS],
  ['_show', refusal(404, 'show_error', 'Invalid path.', 'holders')],
  ['_update', refusal(404, 'update_error', 'Invalid path.', 'holders')],
  ['_search', refusal(400, 'bad_request', 'path not recognized', 'holders')],
  ['_search_info', refusal(400, 'bad_request', 'path not recognized', 'holders')],
  ['_search_disk_size', refusal(400, 'bad_request', 'path not recognized', 'holders')],
  ['_nouveau', MISSING],
  ['_nouveau_info', MISSING],
  ['_info', wrongMethod('GET')],
]);
const NO_LIST = refusal(404, 'list_error', 'Invalid path.', 'holders');

const UNKNOWN = endpoint('db-unknown-underscore');
const ILLEGAL_CREATION = endpoint('db-illegal-create');

/**
 * The refusal of `segments`, as CouchDB answers it. CouchDB parses an unknown name with an underscore as a
 * document id, and the segments after it as an attachment.
 * Source: chttpd_db.erl, chttpd_httpd_handlers.erl. Pinned by test/conformance/refusals.test.ts.
 */
export function unknownInDatabase(
  method: string,
  segments: readonly string[],
  destination: Destination | undefined,
): Endpoint {
  return as(mistakeIn(method, segments, destination));
}

/**
 * True for a method that the path of an attachment has, but not this one: its name begins with an underscore.
 * `place` = the endpoint of the path with the method, or of its reads if no endpoint has the method.
 */
export function hasIllegalAttachmentName(method: string, place: Endpoint): boolean {
  return isOneOf(method, 'PUT', 'DELETE') && READ_ATTACHMENTS.has(place.id);
}

/** The refusal of a COPY to an id that CouchDB reserves. */
export const RESERVED_DESTINATION: Endpoint = as(RESERVED_ID);

/** The refusal of a COPY without a destination. */
export const MISSING_DESTINATION: Endpoint = as(NO_DESTINATION);

/** The refusal of `PUT /{name}` with a name that no database can have. */
export function illegalCreation(name: string): Endpoint {
  const permit = refusal(400, 'illegal_database_name', illegalNameReason(name), 'owner');
  return { ...ILLEGAL_CREATION, permit };
}

function mistakeIn(
  method: string,
  segments: readonly string[],
  destination: Destination | undefined,
): Blocked {
  const [, first = '', second] = segments;
  if (first === '_local') return NO_LOCAL_NAME;
  if (first === '_partition') return inPartition(method, segments);
  if (first === '_index')
    return segments.length === 5 && method !== 'DELETE' ? wrongMethod('DELETE') : MISSING;
  if (first === '_sync_shards') return wrongMethod('POST');
  if (first === '_design' && segments.length > 3) return inDesign(method, segments.slice(3));
  if (first.charCodeAt(0) !== UNDERSCORE) return asAttachment(method, segments.slice(2));
  return second === undefined ? asDocument(method, destination) : ofReservedDocument(method);
}

const UNDERSCORE = 95;

function inPartition(method: string, segments: readonly string[]): Blocked {
  const [, , partition] = segments;
  if (partition === undefined) return NO_PARTITION;
  if (partition.charCodeAt(0) === UNDERSCORE) return RESERVED_PARTITION;
  return segments[3] === '_design' && segments.length > 5 ? inDesign(method, segments.slice(5)) : MISSING;
}

/** `names` = the segments after the name of the design document. */
function inDesign(method: string, names: readonly string[]): Blocked {
  const [handler = ''] = names;
  if (handler === '_list')
    return method === 'GET' || method === 'HEAD' || method === 'POST' ? NO_LIST : NOT_FOR_VIEWS;
  return IN_DESIGN.get(handler) ?? asAttachment(method, names);
}

function asDocument(method: string, destination: Destination | undefined): Blocked {
  if (method === 'PUT') return RESERVED_ID;
  if (method === 'COPY' && destination === undefined) return NO_DESTINATION;
  if (method === 'POST') return NO_REFERER;
  return isOneOf(method, 'GET', 'HEAD', 'DELETE', 'COPY') ? MISSING : NOT_FOR_DOCUMENTS;
}

function ofReservedDocument(method: string): Blocked {
  if (method === 'PUT') return RESERVED_ID;
  return isOneOf(method, 'GET', 'HEAD', 'DELETE') ? MISSING : NOT_FOR_ATTACHMENTS;
}

/** An attachment whose name begins with an underscore, which none can have. */
function asAttachment(method: string, names: readonly string[]): Blocked {
  if (method === 'GET' || method === 'HEAD') return NO_ATTACHMENT;
  if (method !== 'PUT' && method !== 'DELETE') return NOT_FOR_ATTACHMENTS;
  const reason = `Attachment name '${names.join('/')}' starts with prohibited character '_'`;
  return refusal(400, 'bad_request', reason, 'holders');
}

function isOneOf(method: string, ...methods: readonly string[]): boolean {
  return methods.includes(method);
}

function wrongMethod(allowed: string): Blocked {
  return refusal(405, 'method_not_allowed', allowed, 'holders');
}

function as(permit: Blocked): Endpoint {
  return Object.freeze({ ...UNKNOWN, permit });
}
