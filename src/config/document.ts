// Writes docs/configuration.md and the files' JSON Schemas out of the table of settings, as text. Putting them into files is the script's business.
import { type Setting, type SettingFile, type SettingType } from './settings.ts';
import { fileOf, SETTING_FILES, SETTING_NAMES, settingOf, variableOf, type SettingName } from './sources.ts';

const INTRODUCTION = `# Configuration

Generated from the table in \`src/config/settings.ts\` by \`npm run docs\`.

Couchgate reads three files of one folder: \`./config\`, or the one that \`COUCHGATE_CONFIG\` names. Every file and every setting may be left out; the
defaults are for a first look on one machine. Every setting can also be given in the environment, which wins over the files; an empty
variable counts as not set. Lists are comma-separated there.

- **Secrets** are never written into \`couchgate.yaml\`. Give each in exactly one place: its variable, the variable with \`_FILE\` behind it, or
  \`<name>_file:\` in \`couchgate.yaml\`, the last two naming a file that holds nothing else.
- **Mistakes** are told all at once, with file and line, and Couchgate does not start: unknown names, unknown files \`*.yaml\`, values of a wrong kind, a
  setting without a value, the same name twice, combinations that are not safe. \`couchgate --check-config\` says the same and exits with 1;
  \`couchgate --print-config\` shows what is in force and where it comes from, secrets masked.
- **Reload.** Settings marked *reload* take effect without a restart, within a second after the file has changed (also when a link to it is swapped, as
  Kubernetes does), or at once on SIGHUP. All files are read together, and the whole is taken or nothing: a bad file, or one that has
  disappeared, leaves the last good version in force, is logged, and counted in \`couchgate_reload_failures_total\`. Requests that run are not
  disturbed. The content of certificates is looked at too.
- **Relative paths** start at the folder that Couchgate was started in.
- Editors with the YAML language server check a file that begins with
  \`# yaml-language-server: $schema=../docs/schema/couchgate.schema.json\` (or \`ip-whitelist\`, \`cors\`).

## What is refused and what is warned of

Refused: CORS for every origin together with credentials; an empty or short \`jwt_secret\` with \`couchdb_nodes\`; one secret for two purposes; trusting
forwarded addresses of everybody; client certificates that plain HTTP would get around; credentials in \`couchdb_nodes\`. Warned of: plain HTTP on a
public address without a TLS proxy that is named; metrics on a public address; plain HTTP to a CouchDB on another machine; an empty whitelist; no
access log.
`;

const BEFORE: Readonly<Record<SettingFile, string>> = {
  'couchgate.yaml': '',
  'ip-whitelist.yaml': `Single addresses (\`192.0.2.7\`) and ranges (\`10.0.0.0/8\`, \`2001:db8::/32\`). IPv4 in IPv6 (\`::ffff:192.0.2.7\`) is the IPv4 address it holds. Who is not
let in gets 403 before a password is looked at, and a line in the access log with the rule \`address\`.

**Behind a proxy** name it in \`trusted_proxies\`; otherwise every client has the proxy's address. From such a proxy, X-Forwarded-For is read from the
right: the first address that is not itself a trusted proxy is the client's. What stands left of it is whatever the client wrote. An entry
there that is no address makes the client unknown, and the unknown are refused. The proxy must add the address it sees, not pass on the header.
`,
  'cors.yaml': `Couchgate answers preflights itself, before it asks for a password. Origins are compared letter by letter; \`couchgate cors-check <origin>\` says why one passes
or fails. \`PUT /_api/v2/user/config/cors\` (owner) writes this file, where it can be written, and keeps its comments.
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
  workers: 'number or `auto`',
};

/** The whole document. */
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

/** The JSON Schema of a file, for editors. Couchgate itself checks more than a schema can say. */
export function fileSchema(file: SettingFile): string {
  const properties = namesOf(file).map((name): [string, unknown] => {
    const setting = settingOf(name);
    const { description } = setting;
    return setting.type === 'secret'
      ? [`${name}_file`, { type: 'string', description: `Name of a file that holds it. ${description}` }]
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
      return { type: 'array', items: { type: 'string' } };
    case 'workers':
      return { type: ['string', 'integer'] };
    default:
      return { type: 'string' };
  }
}
