// Collects the values of settings from files and environment, and reports unknown settings, files and
// variables.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nearest } from './nearest.ts';
import { readFailure, type Problem } from './problem.ts';
import { SETTINGS, type Setting, type SettingFile } from './settings.ts';
import { readYamlFile, type Entry } from './yaml-file.ts';

export type SettingName = keyof typeof SETTINGS;
export type Environment = Readonly<Record<string, string | undefined>>;

/** One source of the value of a setting. */
export interface Source {
  readonly name: SettingName;
  readonly raw: unknown;
  readonly file: string;
  readonly line?: number;
  readonly path: string;
  readonly itemLines: readonly number[];
  /** The file that contained the secret. */
  readonly secretFile?: string;
}

export interface Gathered {
  /** In ascending precedence: files, then environment. */
  readonly sources: readonly Source[];
  readonly problems: readonly Problem[];
}

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];
export const SETTING_FILES: readonly SettingFile[] = ['couchgate.yaml', 'ip-whitelist.yaml', 'cors.yaml'];

/** Returns the table entry of a setting. */
export function settingOf(name: SettingName): Setting {
  return SETTINGS[name];
}

/** Returns the file that contains the setting. */
export function fileOf(name: SettingName): SettingFile {
  return settingOf(name).file ?? 'couchgate.yaml';
}

/** Returns the environment variable of a setting. */
export function variableOf(name: SettingName): string {
  return settingOf(name).env ?? `COUCHGATE_${name.toUpperCase()}`;
}

/**
 * Variable that names a writable place for cors.yaml. `PUT /_api/v2/user/config/cors` writes the file there
 * if the folder is read-only, as in docker-compose.yml.
 */
export const CORS_FILE = 'COUCHGATE_CORS_FILE';

/** Returns the path of a configuration file. cors.yaml may have another place, once it exists there. */
export function pathOf(folder: string, file: SettingFile, env: Environment): string {
  const elsewhere = file === 'cors.yaml' ? (env[CORS_FILE] ?? '') : '';
  return elsewhere !== '' && existsSync(elsewhere) ? elsewhere : join(folder, file);
}

/** Returns the values and problems of all files in `folder` and of the environment. */
export function gatherSources(folder: string, env: Environment): Gathered {
  const known = filesIn(folder);
  // If the folder cannot be read, neither can its files: report that once.
  if (known.problems.some(({ file }) => file === folder)) return known;
  const parts = [
    known,
    ...SETTING_FILES.map((file) => fromFile(pathOf(folder, file, env), file)),
    fromEnvironment(env),
  ];
  return {
    sources: parts.flatMap((part) => part.sources),
    problems: parts.flatMap((part) => part.problems),
  };
}

/** Hint for a folder that a restrictive umask has closed. Secrets are not in it. */
const READABLE = `. Make it readable, for example: chmod -R a+rX config`;

/**
 * Reports files with unknown names: Couchgate would silently ignore the rules in a misspelt
 * `ip-whitelist.yml`.
 */
function filesIn(folder: string): Gathered {
  let names: readonly string[] = [];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      return { sources: [], problems: [{ file: folder, path: '', reason: readFailure(error) + READABLE }] };
  }
  const unknown = names.filter(
    (name) => /^[^.].*\.ya?ml$/i.test(name) && !(SETTING_FILES as readonly string[]).includes(name),
  );
  const problems = unknown.map((name) => ({
    file: join(folder, name),
    path: '',
    reason: `is not a configuration file of Couchgate${hint(name, SETTING_FILES)}`,
  }));
  return { sources: [], problems };
}

function hint(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? '' : `; did you mean ${near}?`;
}

function fromFile(path: string, file: SettingFile): Gathered {
  const { entries, problems } = readYamlFile(path, path);
  const sources: Source[] = [];
  const found = [...problems];
  for (const entry of entries) {
    const read = fromEntry(entry, file, path);
    if ('raw' in read) sources.push(read);
    else found.push(read);
  }
  return { sources, problems: found };
}

function fromEntry(entry: Entry, file: SettingFile, path: string): Source | Problem {
  const { key, value, line, itemLines } = entry;
  const place = { file: path, line, path: key };
  const secret = SETTING_NAMES.find((name) => settingOf(name).type === 'secret' && key === `${name}_file`);
  const name = secret ?? SETTING_NAMES.find((known) => known === key);
  if (name === undefined) {
    const known = SETTING_NAMES.filter((one) => fileOf(one) === file);
    return { ...place, reason: `is not a setting of ${file}${hint(key, known)}` };
  }
  if (fileOf(name) !== file) return { ...place, reason: `belongs in ${fileOf(name)}` };
  // An empty `allow:` is ambiguous: every address or none. The same holds for other settings.
  if (value === null || value === undefined)
    return { ...place, reason: 'has no value; set one or remove the line' };
  if (secret !== undefined) return readSecretFile(secret, value, { ...place, itemLines });
  if (settingOf(name).type === 'secret')
    return {
      ...place,
      reason: `is a secret; set ${variableOf(name)}, or ${name}_file to the name of a file`,
    };
  return { ...place, name, raw: value, itemLines };
}

/** Reads a secret from a file; the trailing line end of editors is removed. */
function readSecretFile(
  name: SettingName,
  path: unknown,
  place: Omit<Source, 'name' | 'raw'>,
): Source | Problem {
  const problem = (reason: string): Problem => ({ ...place, reason });
  if (typeof path !== 'string') return problem('must be the name of a file');
  try {
    const raw = readFileSync(path, 'utf8').trimEnd();
    return raw === '' ? problem('names an empty file') : { ...place, name, raw, secretFile: path };
  } catch (error) {
    return problem(`names a file that ${readFailure(error)}`);
  }
}

/**
 * Variables of `couchgate setup`. They are not settings, but the serving process may inherit them from the
 * shell.
 */
export const ADMIN_USER = 'COUCHGATE_ADMIN_USER';
export const ADMIN_PASSWORD = 'COUCHGATE_ADMIN_PASSWORD';
/** Variable with the URL of Couchgate, for the commands that call its HTTP API. */
export const COUCHGATE_URL = 'COUCHGATE_URL';
const OTHER_VARIABLES = ['COUCHGATE_CONFIG', CORS_FILE, ADMIN_USER, ADMIN_PASSWORD, COUCHGATE_URL];

/** Variables that Kubernetes sets in every pod if a service is named `couchgate…`. */
const KUBERNETES_VARIABLE =
  /_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|^COUCHGATE(_\w+)?_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/;

function fromEnvironment(env: Environment): Gathered {
  const variables = new Map(SETTING_NAMES.map((name) => [variableOf(name), name]));
  const secretFiles = new Map(
    SETTING_NAMES.filter((name) => settingOf(name).type === 'secret').map((name) => [
      `${variableOf(name)}_FILE`,
      name,
    ]),
  );
  const known = [...OTHER_VARIABLES, ...variables.keys(), ...secretFiles.keys()];
  const sources: Source[] = [];
  const problems: Problem[] = [];
  for (const [variable, raw] of Object.entries(env)) {
    // Compose files write `X: ${X:-}`, so an empty variable counts as not set.
    if (!variable.startsWith('COUCHGATE_') || raw === undefined || raw === '') continue;
    const place = { file: 'environment', path: variable, itemLines: [] };
    const name = variables.get(variable);
    const secret = secretFiles.get(variable);
    if (name !== undefined) sources.push({ ...place, name, raw });
    else if (secret !== undefined) {
      const read = readSecretFile(secret, raw, place);
      if ('raw' in read) sources.push(read);
      else problems.push(read);
    } else if (!OTHER_VARIABLES.includes(variable) && !KUBERNETES_VARIABLE.test(variable))
      problems.push({
        file: 'environment',
        path: variable,
        reason: `is not a setting${hint(variable, known)}`,
      });
  }
  return { sources, problems };
}
