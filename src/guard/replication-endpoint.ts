// Validates `source` and `target` of a replication. A local database name becomes a URL of Couchgate with the
// caller's credentials, so that the job gets the caller's permissions (H9).
import { type JsonObject } from '../json/object.ts';
import { BadRequest, Forbidden } from '../http-errors.ts';
import { type ReplicationHosts } from './replication-hosts.ts';

/** Basic credentials of the caller. */
export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

export interface EndpointRules {
  readonly hosts: ReplicationHosts;
  readonly publicUrl: string;
  /** Undefined for a caller with a session cookie: the session expires long before the job ends. */
  readonly credentials: BasicCredentials | undefined;
}

export interface GuardedEndpoint {
  /** Value for CouchDB, in canonical form. */
  readonly value: string | JsonObject;
  /** True if the job reaches this endpoint through Couchgate. */
  readonly isLocal: boolean;
}

const ENDPOINT_FIELDS = new Set(['url', 'headers', 'auth']);
const DATABASE_NAME = /^[a-z_][a-z0-9_$()+/-]*$/u;
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/u;
/** Headers that grant rights at CouchDB (H6), and headers that frame a message. */
const REFUSED_HEADER =
  /^(?:x-auth-.*|x-couchdb-.*|x-forwarded-.*|forwarded|x-http-method-override|cookie|host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|proxy-.*)$/iu;

/**
 * Validates an endpoint and returns its value for CouchDB. Throws BadRequest or Forbidden with the name of
 * the field.
 */
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
  // A string stays a string, so that readers of the job see the format that was sent.
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

/** Parses a URL; undefined for a local database name. */
function remoteUrl(field: string, text: unknown): URL | undefined {
  if (typeof text !== 'string') throw new BadRequest(`\`${field}\` has no url.`);
  if (DATABASE_NAME.test(text)) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new BadRequest(`\`${field}\` must be an http or https URL, or the name of a database.`);
  }
  if (url.search !== '' || url.hash !== '') {
    throw new BadRequest(`The URL of \`${field}\` must end with the name of the database.`);
  }
  return url;
}

function localEndpoint(field: string, endpoint: JsonObject, rules: EndpointRules): GuardedEndpoint {
  if (Object.keys(endpoint).length > 1) {
    throw new BadRequest(
      `\`${field}\` is a local database: only \`url\` is allowed, with your own credentials.`,
    );
  }
  const name = String(endpoint['url']);
  const url = `${rules.publicUrl.replace(/(?<!\/)\/+$/u, '')}/${encodeURIComponent(name)}`;
  if (rules.publicUrl === '') {
    throw new BadRequest(
      `A database name as \`${field}\` requires the setting public_url of Couchgate. ` +
        `Without it, write the URL of Couchgate and an API key: ${written(field, `https://…/${encodeURIComponent(name)}`)}`,
    );
  }
  if (rules.credentials === undefined) {
    throw new BadRequest(
      `A database name as \`${field}\` requires Basic credentials: your session ends before the job does. ` +
        `Write the URL and an API key with the roles that the job needs: ${written(field, url)}`,
    );
  }
  return { value: { url, auth: { basic: { ...rules.credentials } } }, isLocal: true };
}

/** The endpoint as a client has to write it. */
function written(field: string, url: string): string {
  const auth = { basic: { username: 'API key', password: 'its password' } };
  return `${JSON.stringify(field)}: ${JSON.stringify({ url, auth })}`;
}

function guardHeaders(field: string, value: unknown): JsonObject | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadRequest(`\`${field}.headers\` must be an object.`);
  }
  for (const [name, content] of Object.entries(value)) {
    if (!HEADER_NAME.test(name) || typeof content !== 'string' || !/^[\t\x20-\x7e]*$/u.test(content)) {
      throw new BadRequest(`\`${field}.headers\` contains an invalid header.`);
    }
    if (REFUSED_HEADER.test(name)) throw new Forbidden(`\`${field}.headers\` must not contain ${name}.`);
  }
  return value as JsonObject;
}

/** Only `basic` is allowed: CouchDB plug-ins interpret the other kinds. */
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
