// The one table of settings: name, type, default, meaning. Reading files and the environment is load.ts's business.
// A setting `some_name` is `some_name:` in config/couchgate.yaml (or the file its row names) and COUCHGATE_SOME_NAME in the environment (or
// the variable its row names); the environment wins. A secret one is COUCHGATE_SOME_NAME, or the content of a file that `some_name_file` or
// COUCHGATE_SOME_NAME_FILE names, from exactly one of them: it is never written into couchgate.yaml itself.

export type SettingType =
  | 'text'
  | 'secret'
  | 'address'
  | 'url'
  | 'urls'
  | 'path'
  | 'flag'
  | 'count'
  | 'milliseconds'
  | 'seconds'
  | 'bytes'
  | 'choice'
  | 'cidrs'
  | 'origins'
  | 'workers';

/** The files of the configuration folder. */
export type SettingFile = 'couchgate.yaml' | 'ip-whitelist.yaml' | 'cors.yaml';

export interface Setting {
  readonly type: SettingType;
  readonly default: string | number | boolean | readonly string[];
  readonly description: string;
  /** For `choice`. */
  readonly values?: readonly string[];
  /** True when a change of the file takes effect without a restart. */
  readonly reloadable?: boolean;
  /** The file it stands in; couchgate.yaml when left out. */
  readonly file?: SettingFile;
  /** Its environment variable, where the name alone would say too little there. */
  readonly env?: string;
  /** Smallest number allowed; 0 when left out. */
  readonly min?: number;
  /** Largest number allowed; what its type can hold when left out. */
  readonly max?: number;
}

export const SETTINGS = {
  listen: {
    type: 'address',
    default: '127.0.0.1:5984',
    description: 'Address and port of the HTTP listener; `off` for none.',
  },
  tls_listen: {
    type: 'address',
    default: 'off',
    description: 'Address and port of the HTTPS listener; `off` for none.',
  },
  tls_certificate: {
    type: 'path',
    default: '',
    description: 'PEM file of the certificate chain; read again when it changes.',
    reloadable: true,
  },
  tls_key: {
    type: 'path',
    default: '',
    description: 'PEM file of the private key; read again when it changes.',
    reloadable: true,
  },
  tls_client_ca: {
    type: 'path',
    default: '',
    description:
      'PEM file of the CA whose client certificates are demanded on the HTTPS listener; empty = none is asked for. Its content is read again when it changes.',
  },
  tls_redirect: {
    type: 'flag',
    default: false,
    description: 'Answer every plain HTTP request with a redirect to the HTTPS listener.',
  },
  hsts_seconds: {
    type: 'seconds',
    default: 0,
    description: 'Strict-Transport-Security on HTTPS answers; 0 = not sent.',
  },
  public_url: {
    type: 'url',
    default: '',
    description:
      'Address under which clients reach Couchgate, for Location headers and for replications of local databases; empty = Location is relative.',
  },
  data: {
    type: 'path',
    default: './data',
    description: 'Folder of generated secrets and of the embedded node.',
  },
  workers: {
    type: 'workers',
    default: '1',
    description: 'Worker processes: a number, or `auto` for one a core.',
  },

  couchdb_nodes: {
    type: 'urls',
    default: [],
    description: 'Addresses of the CouchDB nodes, without credentials; none = the embedded node.',
  },
  couchdb_ca: {
    type: 'path',
    default: '',
    description: 'PEM file of the CA that signed the certificates of https CouchDB nodes.',
  },
  couchdb_connect_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 1000,
    description: 'Wait for a connection to a CouchDB node before the next is tried.',
  },
  couchdb_idle_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 3_600_000,
    description: 'Longest silence of a CouchDB node during an exchange.',
  },
  couchdb_multipart_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 60_000,
    description:
      'Longest wait for the answer to a completely sent multipart request, which CouchDB may never give.',
  },
  couchdb_keepalive_ms: {
    type: 'milliseconds',
    min: 1,
    default: 60_000,
    description: 'How long an unused connection to CouchDB is kept; CouchDB itself closes after 300 s.',
  },
  couchdb_connections: {
    type: 'count',
    min: 1,
    default: 256,
    description: 'Connections to one node for requests other than feeds, in each worker; more wait.',
  },
  couchdb_queue: {
    type: 'count',
    default: 1024,
    description: 'Requests that may wait for a connection to one node; past it the answer is 503.',
  },
  couchdb_feeds: {
    type: 'count',
    min: 1,
    default: 10_000,
    description: 'Feeds open at once to one node, in each worker; past it the answer is 503.',
  },
  couchdb_caller_share: {
    type: 'count',
    min: 1,
    max: 100,
    default: 75,
    description:
      'Percent of couchdb_connections, couchdb_queue, couchdb_feeds and the reads of permissions that one caller may take up: a name, or without one an address.',
  },
  health_interval_ms: {
    type: 'milliseconds',
    min: 1,
    default: 5000,
    description: 'Time between two GET /_up of a node.',
  },
  jwt_secret: {
    type: 'secret',
    default: '',
    description: "Base64 of the secret shared with CouchDB's `[jwt_keys] hmac:<kid>`.",
  },
  jwt_kid: {
    type: 'text',
    default: 'couchgate',
    description: 'Name of that key; change name and secret together to rotate.',
  },
  jwt_lifetime_seconds: {
    type: 'seconds',
    min: 10,
    default: 60,
    description: 'Life of the tokens sent to CouchDB.',
  },
  store_database: {
    type: 'text',
    default: 'couchgate',
    description: 'CouchDB database that holds API keys and ended sessions; it is closed to every client.',
  },

  owner: { type: 'text', default: 'admin', description: 'Embedded node only: name of its server admin.' },
  owner_password: {
    type: 'secret',
    default: '',
    description: 'Embedded node only: password of its server admin; empty = generated on first start.',
  },

  session_secret: {
    type: 'secret',
    default: '',
    description:
      'Base64 of the secret that signs session cookies, the same on every replica; empty = generated in the data folder.',
  },
  session_timeout_seconds: {
    type: 'seconds',
    min: 1,
    default: 600,
    description: 'Life of a session without a request.',
  },
  cookie_same_site: {
    type: 'choice',
    values: ['lax', 'strict', 'none', 'off'],
    default: 'lax',
    description: 'SameSite attribute of the session cookie; `none` works over TLS only.',
  },
  cookie_secure: {
    type: 'choice',
    values: ['auto', 'always'],
    default: 'auto',
    description: 'Secure attribute of the session cookie: on TLS requests, or always.',
  },
  key_rotation_overlap_seconds: {
    type: 'seconds',
    default: 86_400,
    description: 'How long the old password of a rotated API key stays valid.',
  },
  credential_cache_seconds: {
    type: 'seconds',
    default: 60,
    description: 'How long a checked password needs no new check.',
  },
  security_cache_seconds: {
    type: 'seconds',
    default: 300,
    description:
      "How long a database's permissions are kept while the news feed is up; changes made through any Couchgate are seen at once.",
  },
  fallback_cache_seconds: {
    type: 'seconds',
    default: 2,
    description: 'How long either is kept while the news feed is down.',
  },
  outage_cache_seconds: {
    type: 'seconds',
    default: 60,
    description:
      'How long what is cached still decides once CouchDB cannot be asked; after that the answer is 503.',
  },
  login_failures: {
    type: 'count',
    min: 1,
    default: 5,
    description: 'Wrong passwords for one name from one address before further tries are refused.',
  },
  login_failures_per_address: {
    type: 'count',
    min: 1,
    default: 100,
    description: 'Wrong passwords from one address, for any names, before further tries are refused.',
  },
  login_failure_window_seconds: {
    type: 'seconds',
    min: 1,
    default: 300,
    description: 'Time over which they are counted, and for which they are refused.',
  },

  max_url_bytes: { type: 'bytes', min: 1024, default: 16_384, description: 'Longest request target.' },
  max_header_bytes: { type: 'bytes', min: 4096, default: 32_768, description: 'Largest request head.' },
  max_body_bytes: {
    type: 'bytes',
    min: 1,
    default: 4_294_967_296,
    description: "Largest request body, like CouchDB's max_http_request_size.",
  },
  inspect_limit_bytes: {
    type: 'bytes',
    min: 1,
    default: 67_108_864,
    description:
      'Largest body, before and after gunzip, of a request whose permission depends on its body; all of them at once may take eight times that, those of one caller four times.',
  },
  header_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 30_000,
    description: 'Wait for a complete request head.',
  },
  client_idle_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 150_000,
    description: 'Longest silence of a client that is sending or not taking data.',
  },
  client_keepalive_ms: {
    type: 'milliseconds',
    min: 1,
    default: 65_000,
    description: 'How long an unused client connection is kept.',
  },
  drain_delay_seconds: {
    type: 'seconds',
    default: 0,
    description: 'After SIGTERM: time between readiness off and the end of accepting.',
  },
  drain_timeout_seconds: {
    type: 'seconds',
    default: 60,
    description: 'After SIGTERM: time until what still runs is cut.',
  },
  replication_hosts: {
    type: 'text',
    default: '',
    description:
      "Comma-separated host names to which `_replicate` and `_replicator` may connect although they are private; Couchgate's own public_url is always allowed.",
  },

  allow: {
    type: 'cidrs',
    default: ['0.0.0.0/0', '::/0'],
    file: 'ip-whitelist.yaml',
    env: 'COUCHGATE_IP_ALLOW',
    description:
      'Addresses and CIDR ranges that may use Couchgate at all; every other one gets 403 before a credential is read. Left out = everybody, `[]` = nobody.',
    reloadable: true,
  },
  owner_allow: {
    type: 'cidrs',
    default: ['0.0.0.0/0', '::/0'],
    file: 'ip-whitelist.yaml',
    env: 'COUCHGATE_IP_OWNER_ALLOW',
    description:
      'Those of them from which operations of the owner are accepted. Left out = all that `allow` lets in, `[]` = none.',
    reloadable: true,
  },
  trusted_proxies: {
    type: 'cidrs',
    default: [],
    file: 'ip-whitelist.yaml',
    description:
      'Addresses of proxies in front whose X-Forwarded-For and X-Forwarded-Proto are believed, read from the right.',
    reloadable: true,
  },
  enable_cors: {
    type: 'flag',
    default: false,
    file: 'cors.yaml',
    description: 'Answer browsers of other origins at all.',
    reloadable: true,
  },
  allow_credentials: {
    type: 'flag',
    default: false,
    file: 'cors.yaml',
    env: 'COUCHGATE_CORS_ALLOW_CREDENTIALS',
    description: 'Let them send cookies and passwords; not together with the origin `*`.',
    reloadable: true,
  },
  origins: {
    type: 'origins',
    default: [],
    file: 'cors.yaml',
    env: 'COUCHGATE_CORS_ORIGINS',
    description:
      'Origins that are let in, each with its scheme (`https://app.example.com`, `app://obsidian.md`, `capacitor://localhost`), or `*` alone for every one.',
    reloadable: true,
  },
  log_level: {
    type: 'choice',
    values: ['debug', 'info', 'warn', 'error', 'silent'],
    default: 'info',
    description: 'Level of the operational log on stderr.',
    reloadable: true,
  },
  access_log: {
    type: 'text',
    default: 'stdout',
    description: 'Where the access log goes: `stdout`, `off`, or a file, opened again on SIGHUP.',
  },
  access_log_policy: {
    type: 'choice',
    values: ['drop', 'refuse'],
    default: 'drop',
    description:
      'When the access log cannot be written: drop lines and count them, or refuse requests with 503.',
  },
  metrics_listen: {
    type: 'address',
    default: '127.0.0.1:9984',
    description:
      'Address of /metrics, /healthz and /readyz; `off` for none. When the default port is taken, a warning is logged and they are left out.',
  },
} as const satisfies Record<string, Setting>;

type Value<S extends Setting> = S['type'] extends 'flag'
  ? boolean
  : S['type'] extends 'count' | 'milliseconds' | 'seconds' | 'bytes'
    ? number
    : S['type'] extends 'urls' | 'cidrs' | 'origins'
      ? readonly string[]
      : string;

/** snake_case to camelCase: code reads `settings.couchdbNodes`, operators write `couchdb_nodes`. */
type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

/** Every setting with its value, frozen; one object for the life of the process but for the reloadable ones, which reload.ts hands out. */
export type Settings = {
  readonly [Name in keyof typeof SETTINGS as Camel<Name & string>]: Value<(typeof SETTINGS)[Name]>;
} & {
  /** The folder of the configuration files (COUCHGATE_CONFIG). */
  readonly configFolder: string;
};
