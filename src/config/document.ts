// Generates docs/configuration.md and the JSON Schemas of the configuration files from the table of settings.
import { type Setting, type SettingFile, type SettingType } from './settings.ts';
import { fileOf, SETTING_FILES, SETTING_NAMES, settingOf, variableOf, type SettingName } from './sources.ts';

const INTRODUCTION = `# Configuration

Generated from the table in \`src/config/settings.ts\` by \`npm run docs\`.

Couchgate reads three files from one folder: \`./config\`, or the folder that \`COUCHGATE_CONFIG\` names. Every file
and every setting is optional; the defaults suit a first trial on one machine. An environment variable overrides
the files. An empty variable counts as not set. Lists in variables are comma-separated.

- **Secrets** are never written into \`couchgate.yaml\`. Set each secret in exactly one place: its variable, its
  variable with the suffix \`_FILE\`, or \`<name>_file:\` in \`couchgate.yaml\`. The last two name a file that
  contains only the secret.
- **Errors** prevent the start. Couchgate reports all of them at once, with file and line: unknown settings, unknown
  \`*.yaml\` files, values of a wrong type, settings without a value, duplicate settings, and insecure combinations.
  \`npm start -- --check-config\` reports the same and exits with 1. \`npm start -- --print-config\` prints the
  effective settings with the source of each; secrets are masked.
- **Reload.** A setting marked *reload* takes effect without a restart, within a second after its file changes, or
  at once on SIGHUP. A swapped symbolic link, as in Kubernetes, counts as a change. Couchgate reads all files
  together and applies all of them or none. If a file is invalid, empty or was removed, the previous configuration stays
  in effect; Couchgate logs this and counts it in \`couchgate_reload_failures_total\`. Running requests continue.
  Certificate files are checked for changes too. A new file with an unknown name also counts as an
  error. Replace a file by a rename (\`mv\`): what is copied over it on a full disk is cut.
- **Commands.** \`COUCHGATE_URL\`, \`COUCHGATE_ADMIN_USER\` and \`COUCHGATE_ADMIN_PASSWORD\` are for the commands that
  call a running Couchgate or CouchDB; the server ignores them.
- **Relative paths** are relative to the working directory of Couchgate.
- Editors with the YAML language server validate a file that begins with
  \`# yaml-language-server: $schema=../docs/schema/couchgate.schema.json\` (or \`ip-whitelist\`, \`cors\`).

## Errors and warnings for combinations

Among the errors: CORS for every origin together with credentials; an empty or short \`jwt_secret\` with \`couchdb_nodes\`; one
secret for two purposes; every address as a trusted proxy; client certificates that plain HTTP would bypass;
credentials in \`couchdb_nodes\`.

Among the warnings: plain HTTP on a public address without a listed TLS proxy; metrics on a public address; plain HTTP to
CouchDB on another machine; an empty whitelist; no access log.
`;

const BEFORE: Readonly<Record<SettingFile, string>> = {
  'couchgate.yaml': '',
  'ip-whitelist.yaml': `Single addresses (\`192.0.2.7\`) and ranges (\`10.0.0.0/8\`, \`2001:db8::/32\`). An IPv4-mapped IPv6 address
(\`::ffff:192.0.2.7\`) counts as its IPv4 address. A client address that is not in \`allow\` gets 403 before Couchgate
reads a credential. The access log then has a line with the rule \`address\`.

**Behind a proxy**, list the proxy in \`trusted_proxies\`; otherwise every client has the proxy address.
Couchgate reads X-Forwarded-For of a trusted proxy from the right: the first address that is not a trusted proxy is
the client address. Entries left of it can be forged by the client and are ignored. If an entry that counts is not
an address, the client address is unknown and the request is refused. The proxy must append the address that it
sees; it must not pass the header on unchanged.
`,
  'cors.yaml': `Couchgate answers preflights itself, before authentication. Origins must match exactly:
\`npm start -- cors-check <origin>\` explains the result for one origin. \`PUT /_api/v2/user/config/cors\` (owner)
writes this file and keeps its comments. If the folder is read-only, \`COUCHGATE_CORS_FILE\` can name another place
for the file, as in docker-compose.yml. Once a file exists there, it replaces \`cors.yaml\` of the folder.
`,
};

const KINDS: Readonly<Record<SettingType, string>> = {
  text: 'text',
  secret: 'secret',
  address: 'host:port or `off`',
  url: 'URL',
  urls: 'list of URLs',
  path: 'file or folder',
  flag: 'true or false',
  count: 'number',
  milliseconds: 'milliseconds',
  seconds: 'seconds',
  bytes: 'bytes',
  choice: 'one of',
  cidrs: 'list of addresses',
  origins: 'list of origins',
  patterns: 'list of patterns',
  prefixes: 'names or prefixes with `*`',
  workers: 'number or `auto`',
};

/** Returns the text of docs/configuration.md. */
export function configurationDocument(): string {
  return [INTRODUCTION, ...SETTING_FILES.map(section)].join('\n');
}

const namesOf = (file: SettingFile): readonly SettingName[] =>
  SETTING_NAMES.filter((name) => fileOf(name) === file);

function section(file: SettingFile): string {
  const before = BEFORE[file];
  return [
    `## ${file}\n`,
    ...(before === '' ? [] : [before]),
    '| setting | kind | default | meaning |',
    '| --- | --- | --- | --- |',
    ...namesOf(file).map(row),
    '',
  ].join('\n');
}

function row(name: SettingName): string {
  const setting = settingOf(name);
  const kind =
    setting.type === 'choice' ? `one of ${(setting.values ?? []).map(code).join(', ')}` : KINDS[setting.type];
  const variable = setting.type === 'secret' ? `${variableOf(name)}[_FILE]` : variableOf(name);
  const reload = setting.reloadable === true ? ' *reload*' : '';
  const cells = [
    `\`${name}\`<br>\`${variable}\``,
    kind,
    defaultText(setting),
    `${setting.description}${reload}`,
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

const code = (text: string): string => `\`${text}\``;

function defaultText({ default: value }: Setting): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(code).join(', ');
  return value === '' ? 'empty' : code(String(value));
}

/** Returns the JSON Schema of a file, for editors. Couchgate checks more than a schema can express. */
export function fileSchema(file: SettingFile): string {
  const properties = namesOf(file).map((name): [string, unknown] => {
    const setting = settingOf(name);
    const { description } = setting;
    return setting.type === 'secret'
      ? [
          `${name}_file`,
          { type: 'string', description: `Name of a file that contains the secret. ${description}` },
        ]
      : [name, { ...shape(setting), default: setting.default, description }];
  });
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `Couchgate: ${file}`,
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(properties),
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function shape({ type, values, min, max }: Setting): Record<string, unknown> {
  switch (type) {
    case 'flag':
      return { type: 'boolean' };
    case 'count':
    case 'milliseconds':
    case 'seconds':
    case 'bytes':
      return { type: 'integer', minimum: min ?? 0, ...(max === undefined ? {} : { maximum: max }) };
    case 'choice':
      return { enum: values };
    case 'urls':
    case 'cidrs':
    case 'origins':
    case 'patterns':
    case 'prefixes':
      return { type: 'array', items: { type: 'string' } };
    case 'workers':
      return { type: ['string', 'integer'] };
    default:
      return { type: 'string' };
  }
}
