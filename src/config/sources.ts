// Gathers what files and environment say about each setting, and names what they say that no setting knows. Reading the values is value.ts's business.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nearest } from './nearest.ts';
import { type Problem } from './problem.ts';
import { SETTINGS, type Setting, type SettingFile } from './settings.ts';
import { readYamlFile, type Entry } from './yaml-file.ts';

export type SettingName = keyof typeof SETTINGS;
export type Environment = Readonly<Record<string, string | undefined>>;

/** One place that gives a setting a value. */
export interface Source {
  readonly name: SettingName;
  readonly raw: unknown;
  readonly file: string;
  readonly line?: number;
  readonly path: string;
  readonly itemLines: readonly number[];
}

export interface Gathered {
  /** In order of rising precedence: files, then environment. */
  readonly sources: readonly Source[];
  readonly problems: readonly Problem[];
}

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];
export const SETTING_FILES: readonly SettingFile[] = ['couchgate.yaml', 'ip-whitelist.yaml', 'cors.yaml'];

export function settingOf(name: SettingName): Setting {
  return SETTINGS[name];
}

export function fileOf(name: SettingName): SettingFile {
  return settingOf(name).file ?? 'couchgate.yaml';
}

/** The environment variable of a setting. */
export function variableOf(name: SettingName): string {
  return settingOf(name).env ?? `COUCHGATE_${name.toUpperCase()}`;
}

/** Everything that the files of `folder` and the environment say. */
export function gatherSources(folder: string, env: Environment): Gathered {
  const parts = [
    unknownFiles(folder),
    ...SETTING_FILES.map((file) => fromFile(folder, file)),
    fromEnvironment(env),
  ];
  return {
    sources: parts.flatMap((part) => part.sources),
    problems: parts.flatMap((part) => part.problems),
  };
}

/** A misspelt file name would leave its rules out without a word (an `ip-whitelist.yml` that nobody reads), so it is a problem. */
function unknownFiles(folder: string): Gathered {
  let names: readonly string[] = [];
  try {
    names = readdirSync(folder);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    if (code !== 'ENOENT')
      return { sources: [], problems: [{ file: folder, path: '', reason: `cannot be read (${code})` }] };
  }
  const unknown = names.filter(
    (name) => /^[^.].*\.ya?ml$/i.test(name) && !(SETTING_FILES as readonly string[]).includes(name),
  );
  const problems = unknown.map((name) => ({
    file: join(folder, name),
    path: '',
    reason: `is no file of Couchgate's${hint(name, SETTING_FILES)}`,
  }));
  return { sources: [], problems };
}

function hint(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? '' : `; did you mean ${near}?`;
}

function fromFile(folder: string, file: SettingFile): Gathered {
  const path = join(folder, file);
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
    return { ...place, reason: `is no setting of ${file}${hint(key, known)}` };
  }
  if (fileOf(name) !== file) return { ...place, reason: `belongs into ${fileOf(name)}` };
  // `allow:` with nothing behind it could mean everybody or nobody; so could any other.
  if (value === null || value === undefined)
    return { ...place, reason: 'has no value; give it one, or take the line out' };
  if (secret !== undefined) return readSecretFile(secret, value, { ...place, itemLines });
  if (settingOf(name).type === 'secret')
    return {
      ...place,
      reason: `is a secret; set ${variableOf(name)}, or ${name}_file to the name of a file`,
    };
  return { ...place, name, raw: value, itemLines };
}

/** The content of a secret's file, without the line end that editors put behind it. */
function readSecretFile(
  name: SettingName,
  path: unknown,
  place: Omit<Source, 'name' | 'raw'>,
): Source | Problem {
  const problem = (reason: string): Problem => ({ ...place, reason });
  if (typeof path !== 'string') return problem('must be the name of a file');
  try {
    const raw = readFileSync(path, 'utf8').replace(/\s+$/, '');
    return raw === '' ? problem('names a file that is empty') : { ...place, name, raw };
  } catch (error) {
    return problem(
      `names a file that cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
    );
  }
}

/** Variables that are for `couchgate setup`: no settings, but they may stand in the environment of whatever starts from the same shell. */
export const ADMIN_USER = 'COUCHGATE_ADMIN_USER';
export const ADMIN_PASSWORD = 'COUCHGATE_ADMIN_PASSWORD';
const NO_SETTINGS = ['COUCHGATE_CONFIG', ADMIN_USER, ADMIN_PASSWORD];

/** Names that Kubernetes itself puts into the environment of every pod when a service is called `couchgate…`. */
const OF_KUBERNETES =
  /_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|^COUCHGATE(_\w+)?_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/;

function fromEnvironment(env: Environment): Gathered {
  const variables = new Map(SETTING_NAMES.map((name) => [variableOf(name), name]));
  const secretFiles = new Map(
    SETTING_NAMES.filter((name) => settingOf(name).type === 'secret').map((name) => [
      `${variableOf(name)}_FILE`,
      name,
    ]),
  );
  const known = [...NO_SETTINGS, ...variables.keys(), ...secretFiles.keys()];
  const sources: Source[] = [];
  const problems: Problem[] = [];
  for (const [variable, raw] of Object.entries(env)) {
    // Compose files write `X: ${X:-}`: an empty variable is one that was not set.
    if (!variable.startsWith('COUCHGATE_') || raw === undefined || raw === '') continue;
    const place = { file: 'environment', path: variable, itemLines: [] };
    const name = variables.get(variable);
    const secret = secretFiles.get(variable);
    if (name !== undefined) sources.push({ ...place, name, raw });
    else if (secret !== undefined) {
      const read = readSecretFile(secret, raw, place);
      if ('raw' in read) sources.push(read);
      else problems.push(read);
    } else if (!NO_SETTINGS.includes(variable) && !OF_KUBERNETES.test(variable))
      problems.push({ file: 'environment', path: variable, reason: `is no setting${hint(variable, known)}` });
  }
  return { sources, problems };
}
