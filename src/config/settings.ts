// Defines every setting: name, type, default and description.
// YAML name: `some_name`, in config/couchgate.yaml or in the file that the entry names. Environment variable:
// COUCHGATE_SOME_NAME, or the name in the entry. The environment overrides the files.
// A secret comes from exactly one source: COUCHGATE_SOME_NAME, or a file named by `some_name_file` or
// COUCHGATE_SOME_NAME_FILE. couchgate.yaml never contains a secret.

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
  | 'patterns'
  | 'prefixes'
  | 'workers';

/** The files of the configuration folder. */
export type SettingFile = 'couchgate.yaml' | 'ip-whitelist.yaml' | 'cors.yaml';

export interface Setting {
  readonly type: SettingType;
  readonly default: string | number | boolean | readonly string[];
  readonly description: string;
  /** For `choice`. */
  readonly values?: readonly string[];
  /** True if a change of the file takes effect without a restart. */
  readonly reloadable?: boolean;
  /** Default: couchgate.yaml. */
  readonly file?: SettingFile;
  /** Environment variable, if the setting name alone would be ambiguous there. */
  readonly env?: string;
  /** Minimum; default 0. */
  readonly min?: number;
  /** Maximum; default: the largest value of the type. */
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
    description: 'PEM file of the certificate chain; reloaded after a change.',
    reloadable: true,
  },
  tls_key: {
    type: 'path',
    default: '',
    description: 'PEM file of the private key; reloaded after a change.',
    reloadable: true,
  },
  tls_client_ca: {
    type: 'path',
    default: '',
    description:
      'PEM file of the CA of client certificates. If set, the HTTPS listener requires a client certificate. Its content is reloaded after a change.',
  },
  tls_redirect: {
    type: 'flag',
    default: false,
    description:
      'Answer every plain HTTP request with a redirect to the HTTPS listener, except `GET /_up`: load balancers take a redirect for healthy.',
  },
  dashboard: {
    type: 'choice',
    values: ['auto', 'on', 'off'],
    default: 'auto',
    description:
      'Serve the dashboard at `/_dashboard/`. `auto` = on, except if `listen` is plain HTTP on an address that other machines reach, or unsandboxed_databases is set.',
  },
  dashboard_listen: {
    type: 'address',
    default: 'off',
    description:
      'Address and port of a listener for the dashboard alone, which gives it an origin of its own: it serves no attachments and runs no functions. It uses TLS if tls_certificate is set. `off` = the dashboard is on the listeners of clients.',
  },
  hsts_seconds: {
    type: 'seconds',
    default: 0,
    description: 'max-age of Strict-Transport-Security on HTTPS responses; 0 = no header.',
  },
  public_url: {
    type: 'url',
    default: '',
    description:
      'URL that clients use to reach Couchgate. It is used in Location headers, in replications of local databases, and to recognise pages of other origins; functions of design documents see its host. Empty = relative Location, and the Host header of each request.',
  },
  server_header: {
    type: 'flag',
    default: true,
    description:
      'Pass the Server header of CouchDB to clients; some libraries read the version of CouchDB there.',
  },
  data: {
    type: 'path',
    default: './data',
    description: 'Folder for generated secrets and for the data of the embedded node.',
  },
  workers: {
    type: 'workers',
    default: '1',
    description: 'Number of worker processes; `auto` = one per CPU core.',
  },

  couchdb_nodes: {
    type: 'urls',
    default: [],
    description: 'URLs of the CouchDB nodes, without credentials; none = the embedded node.',
  },
  embedded: {
    type: 'choice',
    values: ['auto', 'on'],
    default: 'auto',
    description:
      'Without couchdb_nodes, the embedded node serves, for trials. `auto` refuses to start if CouchDB was probably expected: as a systemd service, with NODE_ENV=production, or on an address that other machines reach. `on` allows it there too.',
  },
  couchdb_ca: {
    type: 'path',
    default: '',
    description: 'PEM file of the CA that signed the certificates of CouchDB nodes with https URLs.',
  },
  couchdb_connect_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 1000,
    description: 'Timeout for a connection to a CouchDB node; after it, the next node is tried.',
  },
  couchdb_idle_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 3_600_000,
    description: 'Idle timeout of a connection to CouchDB during a request.',
  },
  couchdb_multipart_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 60_000,
    description: 'Response timeout after a complete multipart request: CouchDB may never answer one.',
  },
  couchdb_keepalive_ms: {
    type: 'milliseconds',
    min: 1,
    default: 60_000,
    description: 'Keep-alive time of an idle connection to CouchDB; CouchDB itself closes it after 300 s.',
  },
  couchdb_connections: {
    type: 'count',
    min: 1,
    default: 256,
    description:
      'Maximum connections per worker to one node for requests other than feeds; further requests are queued.',
  },
  couchdb_queue: {
    type: 'count',
    default: 1024,
    description: 'Maximum queued requests per worker to one node; further requests get 503.',
  },
  couchdb_feeds: {
    type: 'count',
    min: 1,
    default: 10_000,
    description: 'Maximum open feeds per worker to one node; further feeds get 503.',
  },
  couchdb_caller_share: {
    type: 'count',
    min: 1,
    max: 100,
    default: 75,
    description:
      'Percentage of couchdb_connections, couchdb_queue, couchdb_feeds and concurrent permission reads that one caller may use. A caller is a user or API key; without credentials, a client address.',
  },
  health_interval_ms: {
    type: 'milliseconds',
    min: 1,
    default: 5000,
    description: 'Interval of the health check (GET /_up) of each node.',
  },
  jwt_secret: {
    type: 'secret',
    default: '',
    description:
      'Secret that signs the tokens for CouchDB, in Base64; the same value as `[jwt_keys] hmac:<kid>` in CouchDB.',
  },
  jwt_kid: {
    type: 'text',
    default: 'couchgate',
    description: 'Name (kid) of the key in jwt_secret. To rotate the key, change both settings together.',
  },
  jwt_lifetime_seconds: {
    type: 'seconds',
    min: 10,
    default: 60,
    description: 'Lifetime of the tokens sent to CouchDB.',
  },
  store_database: {
    type: 'text',
    default: 'couchgate',
    description:
      'CouchDB database of Couchgate itself: API keys, permission records, other grants, ended sessions and jobs. No client can access it.',
  },

  backup_repository: {
    type: 'path',
    default: '',
    description: 'Folder of the backup repository. Put it on another disk than the data of CouchDB.',
  },
  backup_databases: {
    type: 'patterns',
    default: ['*'],
    description:
      'Databases to back up; `*` matches any characters. System databases and the store are left out unless they are named without `*`; they hold credentials, so that needs an encrypted repository.',
  },
  backup_instance: {
    type: 'flag',
    default: false,
    description:
      'Also back up the instance section in every run: keys, permission records, prefix and server grants, `_users`, `_replicator`, and the whitelist and CORS files. Needs an encrypted repository.',
  },
  backup_keep: {
    type: 'text',
    default: 'daily 7, weekly 4, monthly 12, yearly 10',
    description:
      'Snapshots that `couchgate forget` keeps of each database: `last N`, `hourly N`, `daily N`, `weekly N`, `monthly N`, `yearly N`, `within 30d`, separated by commas.',
  },
  backup_schedule: {
    type: 'text',
    default: '',
    description:
      'When backup_databases are backed up: an interval (`30m`, `6h`, `1d`) or a cron expression in UTC (`0 3 * * *`). Needs backup_repository. Empty = never.',
  },
  backup_forget: {
    type: 'flag',
    default: false,
    description:
      'After a scheduled backup, remove the snapshots that backup_keep does not keep, and the data that only they used.',
  },
  backup_target: {
    type: 'url',
    default: '',
    description:
      'URL of a second CouchDB into which every backup writes the databases as well, with the same revisions, for its server admin alone. Empty = none.',
  },
  backup_target_user: {
    type: 'text',
    default: '',
    description: 'Name of a server admin of backup_target.',
  },
  backup_target_password: {
    type: 'secret',
    default: '',
    description: 'Password of backup_target_user.',
  },
  backup_key: {
    type: 'secret',
    default: '',
    description:
      'Key of an encrypted backup repository: at least 32 characters, for example of `openssl rand -base64 48`. Without it, the backups cannot be read: keep a copy elsewhere.',
  },
  backup_passphrase: {
    type: 'secret',
    default: '',
    description:
      'Passphrase of an encrypted backup repository, instead of backup_key: at least 12 characters.',
  },

  all_dbs: {
    type: 'choice',
    values: ['granted', 'owner'],
    default: 'granted',
    description:
      'Who may list databases (`/_all_dbs`, `/_dbs_info`, `/_api/v2/access` about oneself): `granted` = every key and user, those on which it has a role; `owner` = the owner alone.',
  },
  public_all_dbs: {
    type: 'flag',
    default: false,
    description:
      'Let callers without credentials list the databases on which `nobody` has a role. Needs all_dbs: granted.',
  },

  security_write: {
    type: 'choice',
    values: ['any', 'require_precondition'],
    default: 'any',
    description:
      'Which `PUT _security` is accepted: `any`, or only one that names the revision it replaces (If-Match or `?rev=`); others get 428.',
  },
  permission_history: {
    type: 'count',
    min: 0,
    max: 10_000,
    default: 200,
    description:
      'Changes of permissions that are kept per database, in the database `<store_database>_history`; 0 = none.',
  },
  permission_history_days: {
    type: 'count',
    min: 1,
    max: 36_500,
    default: 365,
    description: 'Days for which changes of permissions are kept, also of deleted databases.',
  },

  owner: { type: 'text', default: 'admin', description: 'Name of the server admin; embedded node only.' },
  owner_password: {
    type: 'secret',
    default: '',
    description: 'Password of the server admin; embedded node only. Empty = generated at the first start.',
  },

  session_secret: {
    type: 'secret',
    default: '',
    description:
      'Secret that signs session cookies, in Base64; use the same value on every replica. Empty = generated in the data folder.',
  },
  session_timeout_seconds: {
    type: 'seconds',
    min: 1,
    default: 600,
    description: 'Idle timeout of a session.',
  },
  cookie_same_site: {
    type: 'choice',
    values: ['lax', 'strict', 'none', 'off'],
    default: 'lax',
    description: 'SameSite attribute of the session cookie; `none` requires TLS.',
  },
  cookie_secure: {
    type: 'choice',
    values: ['auto', 'always'],
    default: 'auto',
    description: 'Secure attribute of the session cookie: `auto` = only on TLS requests.',
  },
  www_authenticate: {
    type: 'flag',
    default: true,
    description:
      'Send `WWW-Authenticate: Basic realm="couchgate"` with every 401, except to browsers: they would show a dialog and keep the password.',
  },
  key_rotation_overlap_seconds: {
    type: 'seconds',
    default: 86_400,
    description: 'Time that the old password of a rotated API key stays valid.',
  },
  key_cache_entries: {
    type: 'count',
    min: 1,
    max: 10_000_000,
    default: 100_000,
    description:
      'API keys that each worker keeps in memory: those used last, about 0.6 kB each. Others are read from the store when they are used.',
  },
  credential_cache_seconds: {
    type: 'seconds',
    default: 60,
    description: 'Cache time of a verified password.',
  },
  security_cache_seconds: {
    type: 'seconds',
    default: 300,
    description:
      'Cache time of database permissions while the invalidation feed is up. Changes made through any replica take effect at once.',
  },
  adopt: {
    type: 'prefixes',
    default: [],
    description:
      'Databases that CouchDB or another program makes, as `couch_peruser` does: names, or prefixes with `*` at the end, such as `userdb-*`. When such a database is first used, has no permissions of Couchgate, and names members, it becomes `couchdb_auth_only`: CouchDB decides by its members and admins.',
  },
  fallback_cache_seconds: {
    type: 'seconds',
    default: 2,
    description:
      'Cache time of API keys, passwords, sessions and grants while the invalidation feed is down: for so long, another replica may still accept what was revoked.',
  },
  outage_cache_seconds: {
    type: 'seconds',
    default: 60,
    description:
      'Time that expired cache entries still decide while CouchDB is unreachable; after it, requests get 503.',
  },
  login_failures: {
    type: 'count',
    min: 1,
    default: 5,
    description: 'Failed logins for one name from one address before further attempts are refused.',
  },
  login_failures_per_address: {
    type: 'count',
    min: 1,
    default: 100,
    description:
      'Failed logins from one address, for all names together, before further attempts are refused.',
  },
  login_failure_window_seconds: {
    type: 'seconds',
    min: 1,
    default: 300,
    description:
      'Time window in which failed logins are counted, and time that further attempts are refused.',
  },
  users_own_document: {
    type: 'choice',
    values: ['off', 'read', 'write'],
    default: 'off',
    description:
      'What users of `_users` may do with their own document. `read` = GET without hashes; `write` = also PUT of a new password and of the fields in users_own_fields.',
  },
  users_own_fields: {
    type: 'text',
    default: '',
    description:
      'Comma-separated names of fields that users may see and write in their own document, such as `email,language`. They see no other fields of the owner.',
  },
  users_sign_up: {
    type: 'choice',
    values: ['off', 'on'],
    default: 'off',
    description:
      'Whether callers without credentials may make a user without roles: PUT /_users/org.couchdb.user:NAME. Names that hold a grant, and those of keys and server admins, are refused.',
  },
  users_sign_ups_per_address: {
    type: 'count',
    min: 1,
    default: 10,
    description: 'Sign-ups from one address within an hour, refused ones included.',
  },

  max_url_bytes: {
    type: 'bytes',
    min: 1024,
    default: 8177,
    description:
      'Maximum size of the request target of a GET; a longer method leaves less. The default is the limit of CouchDB, which answers a longer request line with an empty 400. Raise it only together with `server_options` in `[chttpd]` of CouchDB.',
  },
  max_header_bytes: {
    type: 'bytes',
    min: 4096,
    default: 32_768,
    description: 'Maximum size of the request line and headers.',
  },
  max_body_bytes: {
    type: 'bytes',
    min: 1,
    default: 4_294_967_296,
    description: 'Maximum size of a request body, like max_http_request_size of CouchDB.',
  },
  max_json_body: {
    type: 'bytes',
    min: 1,
    default: 67_108_864,
    description:
      'Maximum size, before and after gunzip, of a body that CouchDB parses: every body except attachments, and the JSON part of `multipart/related`.',
  },
  max_write_values: {
    type: 'count',
    min: 1,
    default: 500_000,
    description:
      'Maximum number of JSON values in a request body that writes documents; each document of a bulk counts as 20 more. CouchDB needs half a gibibyte of memory for a million.',
  },
  max_query_values: {
    type: 'count',
    min: 1,
    default: 50_000,
    description:
      'Maximum number of JSON values in a request body that is no document: keys, lists of revisions; a fifth of it in a selector. CouchDB needs gigabytes of memory for a few million.',
  },
  inspect_limit_bytes: {
    type: 'bytes',
    min: 1,
    default: 67_108_864,
    description:
      'Maximum size, before and after gunzip, of a body that Couchgate must inspect to authorize the request. All inspected bodies together may use eight times this size; those of one caller, four times.',
  },
  header_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 30_000,
    description: 'Timeout for the complete request head.',
  },
  client_idle_timeout_ms: {
    type: 'milliseconds',
    min: 1,
    default: 150_000,
    description: 'Idle timeout of a client that must send or receive data.',
  },
  client_keepalive_ms: {
    type: 'milliseconds',
    min: 1,
    default: 65_000,
    description: 'Keep-alive time of an idle client connection.',
  },
  drain_delay_seconds: {
    type: 'seconds',
    default: 0,
    description: 'After SIGTERM: time from readiness off until new connections are refused.',
  },
  drain_timeout_seconds: {
    type: 'seconds',
    default: 60,
    description: 'After SIGTERM and drain_delay_seconds: time until running requests are aborted.',
  },
  replication_hosts: {
    type: 'text',
    default: '',
    description:
      'Comma-separated private host names that `_replicate` and `_replicator` may connect to; the host of public_url is always allowed.',
  },

  unsandboxed_databases: {
    type: 'text',
    default: '',
    description:
      'Comma-separated names of databases whose pages run scripts: attachments and functions get no `Content-Security-Policy: sandbox`. Whoever may write there can act as everybody who opens a page. Only for couchapps that you trust, and best on a host name of their own.',
  },

  allow: {
    type: 'cidrs',
    default: ['0.0.0.0/0', '::/0'],
    file: 'ip-whitelist.yaml',
    env: 'COUCHGATE_IP_ALLOW',
    description:
      'Addresses and CIDR ranges that may use Couchgate; any other address gets 403 before a credential is read. Default: every address; `[]` = no address.',
    reloadable: true,
  },
  owner_allow: {
    type: 'cidrs',
    default: ['0.0.0.0/0', '::/0'],
    file: 'ip-whitelist.yaml',
    env: 'COUCHGATE_IP_OWNER_ALLOW',
    description:
      'Subset of `allow` that may perform operations of the owner. Default: all of `allow`; `[]` = no address.',
    reloadable: true,
  },
  probe_allow: {
    type: 'cidrs',
    default: [],
    file: 'ip-whitelist.yaml',
    env: 'COUCHGATE_IP_PROBE_ALLOW',
    description:
      'Addresses outside of `allow` that may send `GET /_up` without credentials, and nothing else: load balancers that check the health.',
    reloadable: true,
  },
  trusted_proxies: {
    type: 'cidrs',
    default: [],
    file: 'ip-whitelist.yaml',
    description:
      'Addresses of proxies in front whose X-Forwarded-For and X-Forwarded-Proto are trusted, read from the right.',
    reloadable: true,
  },
  enable_cors: {
    type: 'flag',
    default: false,
    file: 'cors.yaml',
    description: 'Allow cross-origin requests of browsers.',
    reloadable: true,
  },
  allow_credentials: {
    type: 'flag',
    default: false,
    file: 'cors.yaml',
    env: 'COUCHGATE_CORS_ALLOW_CREDENTIALS',
    description: 'Allow cookies and passwords in cross-origin requests; not together with the origin `*`.',
    reloadable: true,
  },
  origins: {
    type: 'origins',
    default: [],
    file: 'cors.yaml',
    env: 'COUCHGATE_CORS_ORIGINS',
    description:
      'Allowed origins, each with its scheme (`https://app.example.com`, `app://obsidian.md`, `capacitor://localhost`), or `*` alone for every origin.',
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
    description: 'Destination of the access log: `stdout`, `off`, or a file, which SIGHUP reopens.',
  },
  access_log_policy: {
    type: 'choice',
    values: ['drop', 'refuse'],
    default: 'drop',
    description:
      'If the access log cannot be written: `drop` and count lines, or `refuse` requests with 503.',
  },
  metrics_listen: {
    type: 'address',
    default: '127.0.0.1:9984',
    description:
      'Address of /metrics, /healthz and /readyz; `off` for none. If the default port is in use, Couchgate logs a warning and starts without them.',
  },
} as const satisfies Record<string, Setting>;

type Value<S extends Setting> = S['type'] extends 'flag'
  ? boolean
  : S['type'] extends 'count' | 'milliseconds' | 'seconds' | 'bytes'
    ? number
    : S['type'] extends 'urls' | 'cidrs' | 'origins' | 'patterns' | 'prefixes'
      ? readonly string[]
      : string;

/** snake_case to camelCase: code reads `settings.couchdbNodes`, operators write `couchdb_nodes`. */
type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

/**
 * Every setting with its value, frozen. Reloadable settings change at run time: read them from LiveSettings
 * (reload.ts).
 */
export type Settings = {
  readonly [Name in keyof typeof SETTINGS as Camel<Name & string>]: Value<(typeof SETTINGS)[Name]>;
} & {
  /** The folder of the configuration files (COUCHGATE_CONFIG). */
  readonly configFolder: string;
};
