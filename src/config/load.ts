// Builds the settings from the table, the files and the environment, or reports every problem.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkCombinations } from './combinations.ts';
import { isSystemdService } from './systemd.ts';
import { ConfigurationError, type Problem } from './problem.ts';
import { type Settings } from './settings.ts';
import {
  fileOf,
  gatherSources,
  pathOf,
  SETTING_NAMES,
  settingOf,
  variableOf,
  type Environment,
  type SettingName,
  type Source,
} from './sources.ts';
import { readValue, type SettingValue } from './value.ts';

export interface Configuration {
  readonly settings: Settings;
  /** Source of each value: `config/cors.yaml:3` or the variable. A default has no entry. */
  readonly sourceOf: ReadonlyMap<SettingName, string>;
  /** Files from which secrets were read. */
  readonly secretFiles: ReadonlyMap<SettingName, string>;
  /** Valid but risky combinations, one sentence each. */
  readonly warnings: readonly string[];
}

export interface LoadParameters {
  readonly env: Environment;
  /** Folder of the configuration files. Default: COUCHGATE_CONFIG, else `./config`. */
  readonly folder?: string;
  /** Default: `serve`. */
  readonly purpose?: 'serve' | 'setup';
  /** Default: whether systemd runs this process. */
  readonly isService?: boolean;
}

/**
 * Loads the settings, frozen. If the folder or a file is missing, defaults apply; but a missing folder that
 * COUCHGATE_CONFIG names is an error: a typo must not drop the whitelist silently. Throws a
 * ConfigurationError with every problem.
 */
export function loadSettings(parameters: LoadParameters): Settings {
  return loadConfiguration(parameters).settings;
}

/** Loads the settings with their sources and warnings. Throws a ConfigurationError with every problem. */
export function loadConfiguration(parameters: LoadParameters): Configuration {
  const { env, folder, purpose = 'serve' } = parameters;
  const named = folder ?? (env['COUCHGATE_CONFIG'] === '' ? undefined : env['COUCHGATE_CONFIG']);
  const configFolder = named ?? './config';
  const { sources, problems: gathered } = gatherSources(configFolder, env);
  const problems = [...gathered, ...duplicateSecrets(sources)];
  if (folder === undefined && named !== undefined && !existsSync(named))
    problems.push({
      file: 'environment',
      path: 'COUCHGATE_CONFIG',
      reason: 'names a folder that does not exist',
    });
  const values = new Map<SettingName, SettingValue>();
  const sourceOf = new Map<SettingName, string>();
  const secretFiles = new Map<SettingName, string>();
  for (const source of sources) {
    const reading = readValue(settingOf(source.name), source.raw);
    if ('faults' in reading) problems.push(...reading.faults.map((fault) => problemOf(source, fault)));
    else {
      values.set(source.name, reading.value);
      sourceOf.set(source.name, describeSource(source));
      if (source.secretFile !== undefined) secretFiles.set(source.name, source.secretFile);
    }
  }
  const settings = assemble(values, configFolder);
  const place = (name: SettingName): Pick<Problem, 'file' | 'line' | 'path'> =>
    placeOf(sources, name, configFolder, env);
  const { errors, warnings } = checkCombinations(settings, purpose, {
    isProduction: env['NODE_ENV'] === 'production',
    isService: parameters.isService ?? isSystemdService(env),
    configFolder: resolve(configFolder),
    hasConfigFolder: existsSync(configFolder),
  });
  problems.push(...errors.map(({ setting, reason }) => ({ ...place(setting), reason })));
  if (problems.length > 0) throw new ConfigurationError(problems);
  return { settings, sourceOf, secretFiles, warnings: [...warnings, ...ignoredCorsFile(configFolder, env)] };
}

/** After CORS was set over HTTP, edits of the file in the folder have no effect: say so. */
function ignoredCorsFile(folder: string, env: Environment): readonly string[] {
  const used = pathOf(folder, 'cors.yaml', env);
  const other = join(folder, 'cors.yaml');
  if (used === other || !existsSync(other)) return [];
  return [
    `${other} has no effect: ${used} exists and is used instead. To use it again, remove ${used} and restart`,
  ];
}

function describeSource(source: Source): string {
  return source.line === undefined ? source.path : `${source.file}:${source.line}`;
}

function problemOf(source: Source, fault: { readonly at?: number; readonly reason: string }): Problem {
  const { file, line, path, itemLines } = source;
  const at = fault.at === undefined ? undefined : itemLines[fault.at];
  const shown = at ?? line;
  return {
    file,
    ...(shown === undefined ? {} : { line: shown }),
    path: fault.at === undefined ? path : `${path}[${fault.at}]`,
    reason: fault.reason,
  };
}

/**
 * Reports a secret that two sources set: one of them is probably outdated, and precedence would hide that.
 */
function duplicateSecrets(sources: readonly Source[]): readonly Problem[] {
  return SETTING_NAMES.filter((name) => settingOf(name).type === 'secret').flatMap((name) => {
    const [first, second] = sources.filter((source) => source.name === name);
    if (first === undefined || second === undefined) return [];
    const { file, line, path } = second;
    const reason = `is set twice, first by ${first.path}; set it once`;
    return [{ file, path, reason, ...(line === undefined ? {} : { line }) }];
  });
}

/** Place to report for a setting: the source that set it, else the file or variable that would. */
function placeOf(
  sources: readonly Source[],
  name: SettingName,
  folder: string,
  env: Environment,
): Pick<Problem, 'file' | 'line' | 'path'> {
  const source = sources.findLast((one) => one.name === name);
  if (source === undefined)
    return settingOf(name).type === 'secret'
      ? { file: 'environment', path: variableOf(name) }
      : { file: pathOf(folder, fileOf(name), env), path: name };
  const { file, line, path } = source;
  return line === undefined ? { file, path } : { file, line, path };
}

function assemble(values: ReadonlyMap<SettingName, SettingValue>, configFolder: string): Settings {
  const entries = SETTING_NAMES.map((name) => [camelCase(name), values.get(name) ?? settingOf(name).default]);
  return Object.freeze({ ...Object.fromEntries(entries), configFolder } as Settings);
}

/** Converts `some_name` to `someName`, as the type Settings does. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
