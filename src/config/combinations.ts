// Finds combinations of settings that are invalid or insecure, and returns them as errors or warnings.
import { isPlainOnNetwork } from './dashboard.ts';
import { isLoopback, parseListenAddress } from './listen-address.ts';
import { parseSchedule } from './schedule.ts';
import { isWeakSecret } from './secret-file.ts';
import { type Settings } from './settings.ts';
import { type SettingName } from './sources.ts';

interface Finding {
  readonly setting: SettingName;
  readonly reason: string;
}

/** What the process knows beside its settings. */
export interface Surroundings {
  readonly isProduction: boolean;
  /** True if systemd runs this process as a service. */
  readonly isService: boolean;
  /** Absolute path of the configuration folder. */
  readonly configFolder: string;
  readonly hasConfigFolder: boolean;
}

type Rule = readonly [setting: SettingName, applies: (settings: Settings) => boolean, sentence: string];

const off = (address: string): boolean => address === 'off';
/** True if other machines can reach the address. */
function isOpen(address: string): boolean {
  const parsed = parseListenAddress(address);
  return parsed !== undefined && !isLoopback(parsed.host);
}

/** Bytes; the output size of HMAC-SHA256, required by RFC 7518 §3.2. A shorter secret is a warning. */
const RECOMMENDED_SECRET_BYTES = 32;

function isSchedule(text: string): boolean {
  try {
    parseSchedule(text);
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Fields that decide who a user is, or that are secrets. */
const FIXED_USER_FIELDS = new Set(
  'name roles type password password_scheme password_sha salt preserve_salt derived_key iterations pbkdf2_prf totp'.split(
    ' ',
  ),
);

function isOwnField(name: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(name) && !FIXED_USER_FIELDS.has(name);
}

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '');

const coversEverything = (cidrs: readonly string[]): boolean => cidrs.some((cidr) => cidr.endsWith('/0'));

/** Errors for `serve` only: `setup` creates the secret. */
const REFUSED_WHEN_SERVING: readonly Rule[] = [
  [
    'jwt_secret',
    (s) => s.couchdbNodes.length > 0 && s.jwtSecret === '',
    'is empty, but couchdb_nodes is set: CouchDB could not authenticate Couchgate. Run `npm start -- setup` to create the secret, then set it',
  ],
];

const WEAK_SECRET =
  'must be Base64 of at least 16 bytes; generate one of 32 random bytes with `openssl rand -base64 32`';

const REFUSED: readonly Rule[] = [
  [
    'backup_schedule',
    (s) => !isSchedule(s.backupSchedule),
    'is neither an interval of 5m or more, such as 6h, nor a cron expression of a time that comes, such as 0 3 * * *',
  ],
  [
    'backup_schedule',
    (s) => s.backupSchedule !== '' && s.backupRepository === '',
    'is set, but backup_repository is empty: set the folder of the backups',
  ],
  [
    'backup_target',
    (s) => s.backupTarget !== '' && (s.backupTargetUser === '' || s.backupTargetPassword === ''),
    'is set, but backup_target_user or backup_target_password is empty: set the server admin of the second CouchDB',
  ],
  [
    'backup_target',
    (s) => s.backupTarget !== '' && s.couchdbNodes.includes(s.backupTarget),
    'is one of couchdb_nodes: a copy there is no second cluster',
  ],
  [
    'backup_passphrase',
    (s) => s.backupKey !== '' && s.backupPassphrase !== '',
    'is set, and backup_key is set too: a repository has one key, so set one of them',
  ],
  [
    'listen',
    (s) => off(s.listen) && off(s.tlsListen),
    'is off, and tls_listen is off: no client could connect',
  ],
  [
    'metrics_listen',
    (s) => [s.listen, s.tlsListen].some((one) => !off(one) && !one.endsWith(':0') && one === s.metricsListen),
    'is the same address as another listener: use another port',
  ],
  [
    'tls_listen',
    (s) => !off(s.tlsListen) && !s.tlsListen.endsWith(':0') && s.tlsListen === s.listen,
    'is the same address as listen: use another port',
  ],
  [
    'dashboard_listen',
    (s) =>
      [s.listen, s.tlsListen, s.metricsListen].some(
        (one) => !off(one) && !one.endsWith(':0') && one === s.dashboardListen,
      ),
    'is the same address as another listener: use another port',
  ],
  [
    'dashboard',
    (s) => s.dashboard === 'on' && off(s.dashboardListen) && s.unsandboxedDatabases !== '',
    'is on, and unsandboxed_databases is set: whoever writes a page there could act as everybody who uses the dashboard. Set dashboard_listen',
  ],
  [
    'tls_certificate',
    (s) => !off(s.tlsListen) && s.tlsCertificate === '',
    'is required by tls_listen: set it to a PEM file',
  ],
  ['tls_key', (s) => !off(s.tlsListen) && s.tlsKey === '', 'is required by tls_listen: set it to a PEM file'],
  [
    'tls_redirect',
    (s) => s.tlsRedirect && (off(s.tlsListen) || off(s.listen)),
    'requires both listeners, listen and tls_listen',
  ],
  [
    'tls_client_ca',
    (s) => s.tlsClientCa !== '' && !off(s.listen) && !s.tlsRedirect,
    'requires client certificates, but clients can bypass them through listen: turn listen off, or tls_redirect on',
  ],
  ['jwt_secret', (s) => s.jwtSecret !== '' && isWeakSecret(s.jwtSecret), WEAK_SECRET],
  ['session_secret', (s) => s.sessionSecret !== '' && isWeakSecret(s.sessionSecret), WEAK_SECRET],
  [
    'session_secret',
    (s) => s.sessionSecret !== '' && s.sessionSecret === s.jwtSecret,
    'is the same as jwt_secret; use two different secrets, so that a leak exposes only one',
  ],
  [
    'trusted_proxies',
    (s) => coversEverything(s.trustedProxies),
    'trusts every address: any client could forge its own address. List only your proxies',
  ],
  [
    'origins',
    (s) => s.enableCors && s.allowCredentials && s.origins.includes('*'),
    'contains "*" while allow_credentials is true: every website could act as its visitors. List the origins, or set allow_credentials to false',
  ],
  [
    'origins',
    (s) => s.origins.includes('*') && s.origins.length > 1,
    'contains "*" and other origins; use "*" alone',
  ],
  [
    'store_database',
    (s) => !/^[a-z][a-z0-9_$()+/-]*$/.test(s.storeDatabase) || /_(users|replicator)$/.test(s.storeDatabase),
    'must be a database name that CouchDB allows and does not reserve',
  ],
  [
    'owner',
    (s) => s.owner === '' || /[:_]|^nobody$/.test(s.owner),
    'must not be empty or "nobody", and must not contain ":" or "_"',
  ],
  [
    'users_own_fields',
    (s) => s.usersOwnFields !== '' && s.usersOwnFields.split(',').some((name) => !isOwnField(name.trim())),
    'must contain only names of letters, digits, "_", "." and "-", none of them one that CouchDB uses (name, roles, type, password, …)',
  ],
  [
    'jwt_kid',
    (s) => !/^[A-Za-z0-9-]{1,64}$/.test(s.jwtKid),
    'must contain only letters, digits and "-", at most 64 characters',
  ],
];

const WARNED: readonly Rule[] = [
  [
    'dashboard',
    (s) =>
      s.dashboard === 'on' && off(s.dashboardListen) && isPlainOnNetwork(s) && s.trustedProxies.length === 0,
    'is on with plain HTTP on a public address: passwords and sessions of server admins are readable on the network',
  ],
  [
    'dashboard_listen',
    (s) => isOpen(s.dashboardListen) && s.tlsCertificate === '',
    'plain HTTP on a public address: passwords and sessions of server admins are readable on the network. Set tls_certificate and tls_key',
  ],
  [
    'jwt_secret',
    (s) => s.jwtSecret !== '' && isWeakSecret(s.jwtSecret, RECOMMENDED_SECRET_BYTES),
    'is shorter than the 32 bytes that RFC 7518 requires; generate one with `openssl rand -base64 32`',
  ],
  [
    'listen',
    (s) => isOpen(s.listen) && !s.tlsRedirect && s.trustedProxies.length === 0,
    'plain HTTP on a public address: passwords are readable on the network. Use tls_listen, or list your TLS proxy in trusted_proxies',
  ],
  [
    'metrics_listen',
    (s) => isOpen(s.metricsListen),
    'metrics on a public address: they require no authentication',
  ],
  ['allow', (s) => s.allow.length === 0, 'the list is empty: Couchgate refuses every client'],
  [
    'couchdb_nodes',
    (s) => s.couchdbNodes.some((node) => node.startsWith('http:') && !isLoopback(hostOf(node))),
    'plain HTTP to CouchDB on another machine: the data is readable on that network. Use https, or isolate the network',
  ],
  [
    'cookie_same_site',
    (s) => s.cookieSameSite === 'none' && s.cookieSecure !== 'always' && off(s.tlsListen),
    '"none" requires TLS, and tls_listen is off: browsers drop the cookie unless a TLS proxy is in front',
  ],
  [
    'hsts_seconds',
    (s) => s.hstsSeconds > 0 && off(s.tlsListen),
    'is set, but tls_listen is off: the header is never sent',
  ],
  [
    'enable_cors',
    (s) => s.enableCors && s.origins.length === 0,
    'is true, but origins is empty: every cross-origin request is refused',
  ],
  [
    'access_log',
    (s) => s.accessLog === 'stdout' && s.workers !== '1',
    'is stdout with several workers, whose lines of more than 4096 bytes may break each other: set a file',
  ],
  ['access_log', (s) => s.accessLog === 'off', 'the access log is off: requests leave no audit trail'],
];

/**
 * Why an embedded node is probably a mistake: the configuration folder was not found, or the settings of
 * CouchDB are missing. It would serve an empty database to other machines, without the operator's whitelist.
 */
function embeddedByMistake(settings: Settings, surroundings: Surroundings): string | undefined {
  if (settings.couchdbNodes.length > 0 || settings.embedded === 'on') return undefined;
  if (surroundings.isProduction) return 'NODE_ENV is production';
  if (surroundings.isService) return 'systemd runs this process';
  if (isOpen(settings.listen)) return `listen is ${settings.listen}`;
  return isOpen(settings.tlsListen) ? `tls_listen is ${settings.tlsListen}` : undefined;
}

function embeddedErrors(settings: Settings, surroundings: Surroundings): readonly Finding[] {
  const why = embeddedByMistake(settings, surroundings);
  if (why === undefined) return [];
  const { configFolder, hasConfigFolder } = surroundings;
  const folder = `the configuration folder is ${configFolder}${hasConfigFolder ? '' : ', which does not exist'}`;
  const reason = `is empty, but ${why}: an embedded node, for trials only, would serve in place of CouchDB. Set couchdb_nodes (${folder}), or embedded: on for a trial`;
  return [{ setting: 'couchdb_nodes', reason }];
}

/** Returns the errors and warnings of a combination of settings, for `serve` or for `setup`. Pure. */
export function checkCombinations(
  settings: Settings,
  purpose: 'serve' | 'setup',
  surroundings: Surroundings,
): {
  readonly errors: readonly Finding[];
  readonly warnings: readonly string[];
} {
  const found = (rules: readonly Rule[]): readonly Rule[] => rules.filter(([, applies]) => applies(settings));
  const serves = purpose === 'serve';
  const { configFolder, hasConfigFolder } = surroundings;
  const missing = `the configuration folder ${configFolder} does not exist: only defaults and variables apply`;
  return {
    errors: [
      ...found(serves ? [...REFUSED_WHEN_SERVING, ...REFUSED] : REFUSED).map(([setting, , reason]) => ({
        setting,
        reason,
      })),
      ...(serves ? embeddedErrors(settings, surroundings) : []),
    ],
    warnings: [
      ...(serves && !hasConfigFolder ? [missing] : []),
      ...found(WARNED).map(([setting, , sentence]) => `${setting}: ${sentence}`),
    ],
  };
}
