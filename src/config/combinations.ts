// Finds settings that are right each for itself but not together: what is insecure is refused or warned of by name.
import { isLoopback, parseListenAddress } from './listen-address.ts';
import { type Settings } from './settings.ts';
import { type SettingName } from './sources.ts';

interface Finding {
  readonly setting: SettingName;
  readonly reason: string;
}

type Rule = readonly [setting: SettingName, applies: (settings: Settings) => boolean, sentence: string];

const off = (address: string): boolean => address === 'off';

/** True when an address can be reached from other machines. */
function isOpen(address: string): boolean {
  const parsed = parseListenAddress(address);
  return parsed !== undefined && !isLoopback(parsed.host);
}

/** Not Base64, or of fewer than `bytes` bytes. */
function isWeakSecret(secret: string, bytes: number): boolean {
  return !/^[A-Za-z0-9+/]+={0,2}$/.test(secret) || Buffer.from(secret, 'base64').length < bytes;
}

/** 128 bits that nobody can guess or try; below that a secret is refused. */
const LEAST_BYTES = 16;
/** What HMAC-SHA256 needs to be as strong as its digest (RFC 7518 §3.2); below that a secret is warned of. */
const FULL_BYTES = 32;

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '');

const coversEverything = (cidrs: readonly string[]): boolean => cidrs.some((cidr) => cidr.endsWith('/0'));

/** What only a Couchgate that serves must have: `setup` is what makes the secret. */
const REFUSED_WHEN_SERVING: readonly Rule[] = [
  [
    'jwt_secret',
    (s) => s.couchdbNodes.length > 0 && s.jwtSecret === '',
    'is empty, but couchdb_nodes is set: CouchDB could not tell Couchgate from anybody else. Run `couchgate setup`, which makes one, and name it',
  ],
];

const REFUSED: readonly Rule[] = [
  ['listen', (s) => off(s.listen) && off(s.tlsListen), 'is off, and so is tls_listen: nobody could connect'],
  [
    'tls_certificate',
    (s) => !off(s.tlsListen) && s.tlsCertificate === '',
    'is needed for tls_listen: name a PEM file',
  ],
  ['tls_key', (s) => !off(s.tlsListen) && s.tlsKey === '', 'is needed for tls_listen: name a PEM file'],
  [
    'tls_redirect',
    (s) => s.tlsRedirect && (off(s.tlsListen) || off(s.listen)),
    'needs both listeners, listen and tls_listen',
  ],
  [
    'tls_client_ca',
    (s) => s.tlsClientCa !== '' && !off(s.listen) && !s.tlsRedirect,
    'demands client certificates, but listen lets everybody past them: turn listen off, or tls_redirect on',
  ],
  [
    'jwt_secret',
    (s) => s.jwtSecret !== '' && isWeakSecret(s.jwtSecret, LEAST_BYTES),
    'must be Base64 of 16 bytes or more, best of at least 32 random bytes; make one with `openssl rand -base64 32`',
  ],
  [
    'session_secret',
    (s) => s.sessionSecret !== '' && isWeakSecret(s.sessionSecret, LEAST_BYTES),
    'must be Base64 of 16 bytes or more, best of at least 32 random bytes; make one with `openssl rand -base64 32`',
  ],
  [
    'session_secret',
    (s) => s.sessionSecret !== '' && s.sessionSecret === s.jwtSecret,
    'is the same as jwt_secret; whoever learns one must not have both',
  ],
  [
    'trusted_proxies',
    (s) => coversEverything(s.trustedProxies),
    'trusts every address: each client could then write its own address. Name your proxies',
  ],
  [
    'origins',
    (s) => s.allowCredentials && s.origins.includes('*'),
    'holds "*" while allow_credentials is true: every website could act as its visitors. Name the origins, or set allow_credentials to false',
  ],
  [
    'origins',
    (s) => s.origins.includes('*') && s.origins.length > 1,
    'holds "*" beside others; `*` stands alone',
  ],
  [
    'store_database',
    (s) => !/^[a-z][a-z0-9_$()+/-]*$/.test(s.storeDatabase) || /_(users|replicator)$/.test(s.storeDatabase),
    'is no name CouchDB allows for a database of its own',
  ],
  [
    'owner',
    (s) => s.owner === '' || /[:_]|^nobody$/.test(s.owner),
    'must not be empty, nobody, or hold : or _',
  ],
  ['jwt_kid', (s) => !/^[A-Za-z0-9-]{1,64}$/.test(s.jwtKid), 'must be letters, digits and - only'],
];

const WARNED: readonly Rule[] = [
  [
    'jwt_secret',
    (s) => s.jwtSecret !== '' && isWeakSecret(s.jwtSecret, FULL_BYTES),
    'is shorter than the 32 bytes that RFC 7518 asks for; make one with `openssl rand -base64 32`',
  ],
  [
    'listen',
    (s) => isOpen(s.listen) && !s.tlsRedirect && s.trustedProxies.length === 0,
    'plain HTTP on a public address: passwords cross the network readable. Use tls_listen, or name the TLS proxy in front in trusted_proxies',
  ],
  ['metrics_listen', (s) => isOpen(s.metricsListen), 'metrics on a public address: they have no password'],
  ['allow', (s) => s.allow.length === 0, 'an empty whitelist: nobody can use Couchgate'],
  [
    'couchdb_nodes',
    (s) => s.couchdbNodes.some((node) => node.startsWith('http:') && !isLoopback(hostOf(node))),
    'plain HTTP to CouchDB: whoever can listen between reads the data; keep that network closed, or use https',
  ],
  [
    'cookie_same_site',
    (s) => s.cookieSameSite === 'none' && s.cookieSecure !== 'always' && off(s.tlsListen),
    '`none` works over TLS only, and no TLS listener is on: browsers drop the cookie unless a TLS proxy is in front',
  ],
  ['hsts_seconds', (s) => s.hstsSeconds > 0 && off(s.tlsListen), 'is set, but there is no TLS listener'],
  [
    'enable_cors',
    (s) => s.enableCors && s.origins.length === 0,
    'is true, but origins is empty: no browser of another origin gets in',
  ],
  [
    'access_log',
    (s) => s.accessLog === 'off',
    'the access log is off: nobody will be able to tell who did what',
  ],
];

/** What must be refused and what is warned of, for a Couchgate that serves or for its `setup`. Pure. */
export function checkCombinations(
  settings: Settings,
  purpose: 'serve' | 'setup',
): {
  readonly errors: readonly Finding[];
  readonly warnings: readonly string[];
} {
  const found = (rules: readonly Rule[]): readonly Rule[] => rules.filter(([, applies]) => applies(settings));
  return {
    errors: found(purpose === 'serve' ? [...REFUSED_WHEN_SERVING, ...REFUSED] : REFUSED).map(
      ([setting, , reason]) => ({ setting, reason }),
    ),
    warnings: found(WARNED).map(([setting, , sentence]) => `${setting}: ${sentence}`),
  };
}
