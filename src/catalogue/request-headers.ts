// Defines what becomes of every request header that CouchDB obeys, and of those that HTTP gives a meaning
// (H6).

/**
 * `passed` = CouchDB gets it as it came; `rebuilt` = CouchDB gets what Couchgate read in it; `replaced` =
 * CouchDB gets Couchgate's own; `dropped` = CouchDB does not get it, for the reason given; `refused` = 400 by
 * name.
 */
export type HeaderTreatment = 'passed' | 'rebuilt' | 'replaced' | 'dropped' | 'refused';

type HeaderRow = readonly [treatment: HeaderTreatment, names: readonly string[], reason: string];

/**
 * A header that is not in the table is dropped. CouchDB itself does not read it, but it would show it to the
 * functions of design documents (chttpd_external.erl, json_req_obj).
 */
const TABLE: readonly HeaderRow[] = [
  ['passed', ['accept', 'accept-encoding', 'accept-language'], 'They choose the form of the response.'],
  ['passed', ['content-type', 'content-md5'], 'They describe the body, which is passed too.'],
  [
    'passed',
    ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range'],
    'Conditional and range requests: RFC 9110 sections 13 and 14.',
  ],
  ['passed', ['last-event-id'], 'It continues an event source.'],
  ['passed', ['prefer'], 'It asks for a shorter response.'],
  ['passed', ['referer'], 'Couchgate compares it first for a form upload, and then sends its own.'],
  ['passed', ['user-agent'], 'CouchDB logs it.'],
  ['passed', ['x-couch-full-commit', 'x-couch-persist'], 'They change how a permitted write is stored.'],
  ['rebuilt', ['content-length', 'transfer-encoding'], 'Couchgate frames every body again (H15).'],
  ['rebuilt', ['content-encoding'], 'Couchgate decodes the bodies that CouchDB would parse (H20).'],
  ['rebuilt', ['destination'], 'It is read once, and encoded again (H10).'],
  ['rebuilt', ['x-couch-request-id'], 'A valid one becomes the id of the request.'],
  ['replaced', ['authorization'], 'CouchDB gets a token with the decided rights.'],
  ['replaced', ['connection'], 'It belongs to one connection; one that names a passed header is refused.'],
  [
    'replaced',
    ['host'],
    'CouchDB gets the address of the node; functions that see the request, the public one.',
  ],
  ['replaced', ['x-forwarded-host', 'x-forwarded-proto'], 'Only functions that see the request get them.'],
  ['replaced', ['x-forwarded-for'], 'CouchDB gets the one address that Couchgate has found (H12).'],
  ['dropped', ['cookie'], 'A session of CouchDB would decide before the token.'],
  [
    'dropped',
    ['x-auth-couchdb-username', 'x-auth-couchdb-roles', 'x-auth-couchdb-token'],
    'They would state who the caller is.',
  ],
  ['dropped', ['x-couchdb-www-authenticate', 'www-authenticate'], 'They choose words of a 401 only.'],
  [
    'dropped',
    ['x-couchdb-vhost-path', 'x-couchdb-requested-path', 'x-forwarded-ssl'],
    'They change addresses in the response; Couchgate writes those itself.',
  ],
  ['dropped', ['forwarded'], 'CouchDB does not read it, and a proxy behind Couchgate may not.'],
  [
    'dropped',
    ['origin', 'access-control-request-method', 'access-control-request-headers'],
    'Couchgate answers CORS itself.',
  ],
  ['dropped', ['expect'], 'Couchgate answers it.'],
  [
    'dropped',
    ['upgrade', 'te', 'trailer', 'keep-alive', 'proxy-connection', 'proxy-authorization'],
    'They belong to one connection (RFC 9110 section 7.6.1).',
  ],
  [
    'dropped',
    ['sec-websocket-key', 'sec-websocket-key1', 'sec-websocket-key2'],
    'CouchDB reads them behind an Upgrade only.',
  ],
  ['refused', ['x-http-method-override'], 'Without it, the request would do something else.'],
  ['refused', ['content-range'], 'CouchDB would store the part as the whole (PUT).'],
];

export const REQUEST_HEADERS: ReadonlyMap<string, HeaderTreatment> = new Map(
  TABLE.flatMap(([treatment, names]) => names.map((name) => [name, treatment] as const)),
);

/** The names that CouchDB gets as they came. */
export const PASSED_HEADERS: readonly string[] = [...REQUEST_HEADERS]
  .filter(([, treatment]) => treatment === 'passed')
  .map(([name]) => name);
