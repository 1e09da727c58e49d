// Writes the CORS settings to config/cors.yaml atomically and keeps the comments of the operator.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parseDocument } from 'yaml';
import { type CorsSettings } from './cors-rule.ts';
import { SETTINGS, type Setting } from './settings.ts';
import { CORS_FILE, variableOf, type Environment, type SettingName } from './sources.ts';
import { readValue } from './value.ts';

/** Thrown if cors.yaml cannot be changed; the message gives the reason. */
export class ReadOnlyConfiguration extends Error {}

const NAMES = ['enable_cors', 'allow_credentials', 'origins'] as const satisfies readonly SettingName[];

/** Returns the problems of proposed CORS settings, one sentence each. The rules are those of the file. */
export function corsProblems(proposed: Readonly<Record<(typeof NAMES)[number], unknown>>): readonly string[] {
  const problems = NAMES.flatMap((name) => {
    const setting: Setting = SETTINGS[name];
    const reading = readValue(setting, proposed[name]);
    if (!('faults' in reading)) return [];
    return reading.faults.map(({ at, reason }) => `${at === undefined ? name : `${name}[${at}]`} ${reason}`);
  });
  const origins: readonly unknown[] = Array.isArray(proposed.origins) ? proposed.origins : [];
  if (proposed.enable_cors === true && proposed.allow_credentials === true && origins.includes('*'))
    problems.push('origins must not contain "*" while allow_credentials is true: list the origins');
  if (origins.includes('*') && origins.length > 1) problems.push('origins must contain "*" alone');
  return problems;
}

/**
 * Replaces the settings in the file (COUCHGATE_CORS_FILE, else cors.yaml in `folder`), and returns a function
 * that restores the previous content. Throws ReadOnlyConfiguration if an environment variable sets CORS or
 * the file cannot be written.
 */
export function writeCorsFile(folder: string, settings: CorsSettings, env: Environment): () => void {
  const variable = NAMES.map(variableOf).find((name) => (env[name] ?? '') !== '');
  if (variable !== undefined)
    throw new ReadOnlyConfiguration(`CORS is set by an environment variable (${variable})`);
  const elsewhere = env[CORS_FILE] ?? '';
  const path = elsewhere === '' ? join(folder, 'cors.yaml') : elsewhere;
  try {
    const before = readIfThere(path);
    const document = parseDocument(
      before ??
        readIfThere(join(folder, 'cors.yaml')) ??
        '# CORS, see docs/configuration.md. Written by PUT /_api/v2/user/config/cors.\n',
    );
    document.set('enable_cors', settings.enableCors);
    document.set('allow_credentials', settings.allowCredentials);
    document.set('origins', [...settings.origins]);
    mkdirSync(dirname(path), { recursive: true });
    replaceFile(path, String(document));
    return () => {
      if (before === undefined) rmSync(path);
      else replaceFile(path, before);
    };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new ReadOnlyConfiguration(
      `the file ${path} cannot be written (${code}); ${CORS_FILE} can name a writable place for it`,
      { cause: error },
    );
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Replaces the file atomically: readers, and a restart after a power cut, see the old or the new content.
 */
function replaceFile(path: string, text: string): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  const file = openSync(draft, 'wx', modeOf(path));
  try {
    // Not `writeSync`: on a full disk it writes a part without an error.
    writeFileSync(file, text);
    fsyncSync(file);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

function modeOf(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.mode ?? 0o644) & 0o777;
}
