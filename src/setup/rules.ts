// Lists the settings of CouchDB that Couchgate requires (H18), each with its reason.

/** Configuration of a node from `GET /_node/{node}/_config`: section → key → text. */
export type NodeConfig = Readonly<Record<string, Readonly<Record<string, string>> | undefined>>;

/** Result of a rule: no action, write a value, remove the setting, or a manual check. */
export type Finding =
  | { readonly kind: 'fine' }
  | { readonly kind: 'set'; readonly value: string }
  | { readonly kind: 'remove' }
  | { readonly kind: 'look'; readonly advice: string };

export interface Rule {
  readonly section: string;
  readonly key: string;
  readonly why: string;
  /** What to do, where the value of `judge` repeats other values of the operator. */
  readonly remedy?: string;
  /** True if CouchDB reads the setting only at its start. */
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

/** Requires `wanted`; a missing setting is accepted if `wanted` is CouchDB's default. */
function equals(wanted: string, byDefault: boolean): Rule['judge'] {
  return (value) =>
    value === wanted || (value === undefined && byDefault) ? FINE : { kind: 'set', value: wanted };
}

/** As `equals`, for settings that CouchDB also reads from their old section [httpd] (chttpd_util.erl). */
function equalsInBoth(key: string, wanted: string): Rule['judge'] {
  return (value, config) => equals(wanted, true)(value ?? config['httpd']?.[key], config);
}

const absent: Rule['judge'] = (value) => (value === undefined ? FINE : { kind: 'remove' });

/** Requires the JWT handler first and no proxy handler; keeps other handlers of the operator in order. */
export function judgeHandlers(value: string | undefined): Finding {
  if (value === undefined) return { kind: 'set', value: OUR_HANDLERS };
  const handlers = value.match(/\{[^{}]*\}/gu) ?? [];
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

/**
 * The default of `max_json_body`: a larger document cannot be written through Couchgate as JSON. The node
 * makes an answer with all conflicts of a document as a whole, so this is the size of each of them (H15).
 */
const LARGEST_DOCUMENT = 67_108_864;

const USERS = '_users';
const isSet = (value: string | undefined): boolean => value !== undefined;

export const RULES: readonly Rule[] = [
  {
    section: 'chttpd',
    key: 'authentication_handlers',
    why: 'only signed tokens give access; the proxy handler does not sign roles (H1, H6)',
    remedy: `put \`${JWT_HANDLER}\` first and remove the proxy handler`,
    needsRestart: true,
    judge: judgeHandlers,
  },
  {
    section: 'jwt_auth',
    key: 'required_claims',
    why: 'a token without expiry must be rejected',
    judge: equals('exp', true),
  },
  { section: 'jwt_auth', key: 'roles_claim_path', why: 'moves the roles to another claim', judge: absent },
  {
    section: 'jwt_auth',
    key: 'roles_claim_name',
    why: 'claim that contains the roles of a token',
    judge: equals('_couchdb.roles', true),
  },
  {
    section: 'chttpd_auth',
    key: 'proxy_use_secret',
    why: 'without it the proxy handler, if enabled, trusts every client (H6)',
    judge: equals('true', false),
  },
  {
    section: 'chttpd',
    key: 'admin_only_all_dbs',
    why: 'only the owner may list database names',
    judge: equalsInBoth('admin_only_all_dbs', 'true'),
  },
  {
    section: 'chttpd',
    key: 'enable_cors',
    why: 'CouchDB would answer preflights before authentication (H15)',
    judge: equalsInBoth('enable_cors', 'false'),
  },
  {
    section: 'chttpd',
    key: 'allow_jsonp',
    why: 'other websites could run responses as scripts',
    judge: equalsInBoth('allow_jsonp', 'false'),
  },
  {
    section: 'chttpd',
    key: 'secure_rewrites',
    why: 'rewrites could access other databases (H1)',
    judge: equalsInBoth('secure_rewrites', 'true'),
  },
  {
    section: 'chttpd',
    key: 'scrub_json_request',
    why: 'design functions could read tokens (H8)',
    judge: equals('true', true),
  },
  // Init scripts of other software, for example of Obsidian LiveSync, set these to true.
  ...(
    [
      ['chttpd', 'require_valid_user'],
      ['chttpd', 'require_valid_user_except_for_up'],
      ['chttpd_auth', 'require_valid_user'],
    ] as const
  ).map(([section, key]) => ({
    section,
    key,
    why: 'requests to public databases carry no token (H12)',
    judge: equals('false', true),
  })),
  {
    section: 'chttpd',
    key: 'decode_plus_to_space',
    why: 'a plus in a path would select another document than the authorized one (H7)',
    judge: equals('true', true),
  },
  {
    section: 'chttpd',
    key: 'buffer_response',
    why: 'a node would keep each answer in memory, however long (H15)',
    judge: equals('false', true),
  },
  {
    section: 'couchdb',
    key: 'default_security',
    why: 'a new database would be public for a moment (H4)',
    judge: equals('admin_only', true),
  },
  {
    section: 'couchdb',
    key: 'users_db_security_editable',
    why: 'password digests could be made public (H13)',
    judge: equals('false', true),
  },
  ...['x_auth_username', 'x_auth_roles', 'x_auth_token'].map((key) => ({
    section: 'chttpd_auth',
    key,
    why: 'design functions could read renamed headers (H8)',
    judge: absent,
  })),
  {
    section: 'chttpd_auth',
    key: 'hash_algorithms',
    why: 'SHA-1 cookies are accepted',
    judge: look(
      (value) => /\bsha\b/u.test(value ?? 'sha256, sha'),
      'if no cookies of an old CouchDB are in use, set it to `sha256`',
    ),
  },
  {
    section: 'vhosts',
    key: '*',
    why: 'virtual hosts rewrite paths after authorization (H1)',
    judge: look(
      (_, config) => Object.keys(config['vhosts'] ?? {}).length > 0,
      'remove every entry of [vhosts], then run setup again',
    ),
  },
  {
    section: 'admins',
    key: '*',
    why: 'without a server admin, every user is an admin',
    judge: look((_, config) => Object.keys(config['admins'] ?? {}).length === 0, 'set a server admin'),
  },
  {
    section: 'chttpd_auth',
    key: 'authentication_db',
    why: 'users and their passwords are read from _users',
    judge: look(
      (value) => (value ?? USERS) !== USERS,
      'move the users to _users, remove the setting, then run setup again',
    ),
  },
  {
    section: 'chttpd_auth',
    key: 'secret',
    why: 'secret of CouchDB session cookies',
    judge: look((value) => !isSet(value) || (value ?? '').length < 16, 'set 32 random hexadecimal digits'),
  },
  {
    section: 'couchdb',
    key: 'max_document_size',
    why: 'a node keeps an answer with all conflicts of a document in memory (H15)',
    judge: look(
      // Without it: 8 000 000. Everything that is no number counts as no limit.
      (value) => isSet(value) && !(Number(value) <= LARGEST_DOCUMENT),
      `set it to \`8000000\`, CouchDB's default, or to what your documents need, at most \`${LARGEST_DOCUMENT}\``,
    ),
  },
  {
    section: 'prometheus',
    key: 'additional_port',
    why: 'metrics on a port without authentication',
    judge: look((value) => value === 'true', 'disable it, or restrict the port to your monitoring'),
  },
];

/** If one of these rules needs a check, the cluster is not ready; for other rules it is only advice. */
const MUST_LOOK = new Set(['vhosts *', 'admins *', 'chttpd_auth authentication_db']);

/** What a rule finds in the configuration of a node. */
export interface Judged {
  readonly rule: Rule;
  readonly finding: Finding;
  /** True if the node is not ready before somebody has decided. */
  readonly isBlocking: boolean;
}

/** Applies every rule to the configuration of a node. */
export function judgeAll(config: NodeConfig): readonly Judged[] {
  return RULES.map((rule) => {
    const { section, key, judge } = rule;
    const finding = judge(config[section]?.[key], config);
    return { rule, finding, isBlocking: finding.kind === 'look' && MUST_LOOK.has(`${section} ${key}`) };
  });
}
