// The settings of CouchDB that Couchgate relies on (H18), each with its reason. Reading and writing them on a node is node.ts's business.

/** A node's configuration as `GET /_node/{node}/_config` gives it: section → key → text. */
export type NodeConfig = Readonly<Record<string, Readonly<Record<string, string>> | undefined>>;

/** What is to be done about a setting: nothing, write it, take it out, or have a person look. */
export type Finding =
  | { readonly kind: 'fine' }
  | { readonly kind: 'set'; readonly value: string }
  | { readonly kind: 'remove' }
  | { readonly kind: 'look'; readonly advice: string };

export interface Rule {
  readonly section: string;
  readonly key: string;
  readonly why: string;
  /** True when CouchDB reads the setting at its start only. */
  readonly needsRestart?: boolean;
  readonly judge: (value: string | undefined, config: NodeConfig) => Finding;
}

const FINE: Finding = { kind: 'fine' };
const JWT_HANDLER = '{chttpd_auth, jwt_authentication_handler}';
const OUR_HANDLERS = [
  JWT_HANDLER,
  '{chttpd_auth, cookie_authentication_handler}',
  '{chttpd_auth, default_authentication_handler}',
].join(', ');

/** `wanted`, or nothing at all where that is CouchDB's default. */
function equals(wanted: string, byDefault: boolean): Rule['judge'] {
  return (value) =>
    value === wanted || (value === undefined && byDefault) ? FINE : { kind: 'set', value: wanted };
}

/** As `equals` for settings that CouchDB also reads in their old section [httpd] (chttpd_util.erl). */
function equalsInBoth(key: string, wanted: string): Rule['judge'] {
  return (value, config) => equals(wanted, true)(value ?? config['httpd']?.[key], config);
}

const absent: Rule['judge'] = (value) => (value === undefined ? FINE : { kind: 'remove' });

/** The handlers in their order, with JWT first and without the proxy handler; others that an operator added stay. */
export function judgeHandlers(value: string | undefined): Finding {
  if (value === undefined) return { kind: 'set', value: OUR_HANDLERS };
  const handlers = value.match(/\{[^}]*\}/gu) ?? [];
  const named = (handler: string): string => handler.replace(/[{}\s]/gu, '');
  const isProxy = (handler: string): boolean => named(handler).endsWith(',proxy_authentication_handler');
  const isJwt = (handler: string): boolean => named(handler) === named(JWT_HANDLER);
  if (handlers[0] !== undefined && isJwt(handlers[0]) && !handlers.some(isProxy)) return FINE;
  const others = handlers.filter((handler) => !isProxy(handler) && !isJwt(handler));
  return { kind: 'set', value: [JWT_HANDLER, ...others].join(', ') };
}

function look(
  when: (value: string | undefined, config: NodeConfig) => boolean,
  advice: string,
): Rule['judge'] {
  return (value, config) => (when(value, config) ? { kind: 'look', advice } : FINE);
}

const USERS = '_users';
const isSet = (value: string | undefined): boolean => value !== undefined;

export const RULES: readonly Rule[] = [
  {
    section: 'chttpd',
    key: 'authentication_handlers',
    why: 'signed tokens are the one way in; the proxy handler signs no roles (H1, H6)',
    needsRestart: true,
    judge: judgeHandlers,
  },
  {
    section: 'jwt_auth',
    key: 'required_claims',
    why: 'a token without an end is none',
    judge: equals('exp', true),
  },
  { section: 'jwt_auth', key: 'roles_claim_path', why: 'roles are read elsewhere with it', judge: absent },
  {
    section: 'jwt_auth',
    key: 'roles_claim_name',
    why: 'where the tokens hold their roles',
    judge: equals('_couchdb.roles', true),
  },
  {
    section: 'chttpd_auth',
    key: 'proxy_use_secret',
    why: 'without it the proxy handler, once switched on, believes everybody (H6)',
    judge: equals('true', false),
  },
  {
    section: 'chttpd',
    key: 'admin_only_all_dbs',
    why: 'names of databases are for the owner',
    judge: equalsInBoth('admin_only_all_dbs', 'true'),
  },
  {
    section: 'chttpd',
    key: 'enable_cors',
    why: 'CouchDB would answer preflights before it knows who asks (H15)',
    judge: equalsInBoth('enable_cors', 'false'),
  },
  {
    section: 'chttpd',
    key: 'allow_jsonp',
    why: 'answers would run as scripts elsewhere',
    judge: equalsInBoth('allow_jsonp', 'false'),
  },
  {
    section: 'chttpd',
    key: 'secure_rewrites',
    why: 'rewrites would leave their database (H1)',
    judge: equalsInBoth('secure_rewrites', 'true'),
  },
  {
    section: 'chttpd',
    key: 'scrub_json_request',
    why: 'design functions would see tokens (H8)',
    judge: equals('true', true),
  },
  {
    section: 'chttpd',
    key: 'require_valid_user',
    why: 'public databases are asked for without a token (H12)',
    judge: equals('false', true),
  },
  {
    section: 'chttpd',
    key: 'decode_plus_to_space',
    why: 'a plus in a path would name another document than the one that was judged (H7)',
    judge: equals('true', true),
  },
  {
    section: 'couchdb',
    key: 'default_security',
    why: 'a new database would be open to everybody for a moment (H4)',
    judge: equals('admin_only', true),
  },
  {
    section: 'couchdb',
    key: 'users_db_security_editable',
    why: 'password digests could be opened (H13)',
    judge: equals('false', true),
  },
  ...['x_auth_username', 'x_auth_roles', 'x_auth_token'].map((key) => ({
    section: 'chttpd_auth',
    key,
    why: 'design functions would see renamed headers (H8)',
    judge: absent,
  })),
  {
    section: 'chttpd_auth',
    key: 'hash_algorithms',
    why: 'SHA-1 digests of cookies are still accepted',
    judge: look(
      (value) => /\bsha\b/u.test(value ?? 'sha256, sha'),
      'set it to `sha256` when no cookie of an old CouchDB is in use',
    ),
  },
  {
    section: 'vhosts',
    key: '*',
    why: 'virtual hosts rewrite paths behind Couchgate (H1)',
    judge: look(
      (_, config) => Object.keys(config['vhosts'] ?? {}).length > 0,
      'remove every line of [vhosts], then run this again',
    ),
  },
  {
    section: 'admins',
    key: '*',
    why: 'without a server admin everybody is one',
    judge: look((_, config) => Object.keys(config['admins'] ?? {}).length === 0, 'set an admin'),
  },
  {
    section: 'chttpd_auth',
    key: 'authentication_db',
    why: 'users and their passwords are read from _users',
    judge: look(
      (value) => (value ?? USERS) !== USERS,
      'move the users to _users, remove the setting, then run this again',
    ),
  },
  {
    section: 'chttpd_auth',
    key: 'secret',
    why: "signs CouchDB's own cookies",
    judge: look((value) => !isSet(value) || (value ?? '').length < 16, 'set 32 random hexadecimal digits'),
  },
  {
    section: 'prometheus',
    key: 'additional_port',
    why: 'metrics on a port without a password',
    judge: look((value) => value === 'true', 'switch it off, or let only your monitoring reach that port'),
  },
];

/** Findings of these rules keep a cluster from being ready; those of the other looks are advice. */
export const MUST_LOOK = new Set(['vhosts *', 'admins *', 'chttpd_auth authentication_db']);
