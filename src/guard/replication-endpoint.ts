// Decides what `source` and `target` of a replication may hold, and turns a local name into Couchgate's own address, where the job is
// decided about like any other client (H9). Which hosts are allowed is replication-hosts.ts's business.
import { BadRequest, Forbidden, Unavailable } from '../http-errors.ts';
import { type JsonObject } from '../body/parse.ts';
import { type ReplicationHosts } from './replication-hosts.ts';

/** The caller's own Basic credentials. */
export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

export interface EndpointRules {
  readonly hosts: ReplicationHosts;
  readonly publicUrl: string;
  /** Undefined for a caller who signed in with a cookie: it ends long before a job does. */
  readonly credentials: BasicCredentials | undefined;
}

export interface GuardedEndpoint {
  /** What CouchDB is told: the one spelling that was judged. */
  readonly value: string | JsonObject;
  /** True when the job reaches it through Couchgate. */
  readonly isLocal: boolean;
}

const ENDPOINT_FIELDS = new Set(['url', 'headers', 'auth']);
const DATABASE_NAME = /^[a-z_][a-z0-9_$()+/-]*$/u;
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/u;
/** What CouchDB obeys (H6) and what frames a message. */
const REFUSED_HEADER =
  /^(?:x-auth-.*|x-couchdb-.*|x-forwarded-.*|forwarded|x-http-method-override|cookie|host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|proxy-.*)$/iu;

/** The endpoint as it may go to CouchDB. Throws BadRequest or Forbidden with the field's name. */
export async function guardEndpoint(
  field: 'source' | 'target',
  value: unknown,
  rules: EndpointRules,
): Promise<GuardedEndpoint> {
  const endpoint = asEndpoint(field, value);
  const url = remoteUrl(field, endpoint['url']);
  if (url === undefined) return localEndpoint(field, endpoint, rules);
  await rules.hosts.check(url, field);
  const headers = guardHeaders(field, endpoint['headers']);
  const auth = guardAuth(field, endpoint['auth']);
  const isLocal = rules.hosts.isPublic(url);
  // A text stays a text: whoever reads the job back finds what was sent.
  if (typeof value === 'string') return { value: url.href, isLocal };
  return {
    value: {
      url: url.href,
      ...(headers === undefined ? {} : { headers }),
      ...(auth === undefined ? {} : { auth }),
    },
    isLocal,
  };
}

function asEndpoint(field: string, value: unknown): JsonObject {
  if (typeof value === 'string') return { url: value };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadRequest(`\`${field}\` must be a URL, a database name, or an object with a \`url\`.`);
  }
  for (const name of Object.keys(value)) {
    if (!ENDPOINT_FIELDS.has(name)) throw new BadRequest(`\`${field}.${name}\` is not allowed.`);
  }
  return value as JsonObject;
}

/** The address, or undefined for a local name. */
function remoteUrl(field: string, text: unknown): URL | undefined {
  if (typeof text !== 'string') throw new BadRequest(`\`${field}\` has no url.`);
  if (DATABASE_NAME.test(text)) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new BadRequest(`\`${field}\` must be an http or https URL, or the name of a database.`);
  }
  if (url.search !== '' || url.hash !== '') {
    throw new BadRequest(`The URL of \`${field}\` must end with the database's name.`);
  }
  return url;
}

function localEndpoint(field: string, endpoint: JsonObject, rules: EndpointRules): GuardedEndpoint {
  if (Object.keys(endpoint).length > 1) {
    throw new BadRequest(`\`${field}\` is a local database, which is reached with your own credentials.`);
  }
  if (rules.publicUrl === '') {
    throw new Unavailable(`A local \`${field}\` needs the setting public_url; give a URL instead.`);
  }
  if (rules.credentials === undefined) {
    throw new BadRequest(
      `A local \`${field}\` needs Basic credentials, which the job keeps using; a session ends before it.`,
    );
  }
  const url = `${rules.publicUrl.replace(/\/+$/u, '')}/${encodeURIComponent(String(endpoint['url']))}`;
  return { value: { url, auth: { basic: { ...rules.credentials } } }, isLocal: true };
}

function guardHeaders(field: string, value: unknown): JsonObject | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadRequest(`\`${field}.headers\` must be an object.`);
  }
  for (const [name, content] of Object.entries(value)) {
    if (!HEADER_NAME.test(name) || typeof content !== 'string' || !/^[\t\x20-\x7e]*$/u.test(content)) {
      throw new BadRequest(`\`${field}.headers\` holds what is no header.`);
    }
    if (REFUSED_HEADER.test(name)) throw new Forbidden(`\`${field}.headers\` may not hold ${name}.`);
  }
  return value as JsonObject;
}

/** Only `basic`: what other kinds make of their fields is up to plug-ins of CouchDB. */
function guardAuth(field: string, value: unknown): JsonObject | undefined {
  if (value === undefined) return undefined;
  const basic = (value as Partial<Record<string, unknown>> | null)?.['basic'] as
    Partial<Record<string, unknown>> | null | undefined;
  const { username, password } = basic ?? {};
  if (typeof username !== 'string' || typeof password !== 'string') {
    throw new BadRequest(`\`${field}.auth\` must be {"basic": {"username": …, "password": …}}.`);
  }
  return { basic: { username, password } };
}
