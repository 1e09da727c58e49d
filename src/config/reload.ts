// Hands out the settings as they are now: reads the files again when they change and replaces the whole, or nothing. What a setting does is its users' business.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { camelCase, loadConfiguration, type Configuration, type LoadParameters } from './load.ts';
import { type OperationalLog } from './operational-log.ts';
import { pollFiles } from './poll-files.ts';
import { type Settings } from './settings.ts';
import { SETTING_FILES, SETTING_NAMES, settingOf } from './sources.ts';

/** What a reload came to. */
export type ReloadOutcome =
  { readonly outcome: 'changed' | 'unchanged' } | { readonly outcome: 'refused'; readonly reason: string };

export interface LiveSettings {
  /** The newest settings that were good; replaced as a whole, so that whoever holds one object sees one version. */
  readonly current: Settings;
  /** How often new settings came into force, and how often they were refused, since the start. */
  readonly reloads: number;
  readonly failures: number;
  /** Reads the files now: on SIGHUP, and after Couchgate itself has written one. */
  reload(): ReloadOutcome;
  /** Called with every new version, after it came into force. */
  onChange(listener: (next: Settings) => void): void;
  close(): void;
}

export interface LiveParameters extends LoadParameters {
  /** The settings in force; what changes in the files from now on is put over them. */
  readonly initial: Settings;
  readonly log: OperationalLog;
  /** Takes renewed certificates into use; throws when they do not fit, and then nothing of the new settings holds. */
  readonly acceptCertificates: (next: Settings) => void;
  /** Time between two looks at the files; a change is taken up after it has lain still for one of them. */
  readonly intervalMs?: number;
}

const RELOADABLE = SETTING_NAMES.filter((name) => settingOf(name).reloadable === true).map(
  (name) => camelCase(name) as keyof Settings,
);
const FIXED = SETTING_NAMES.filter((name) => settingOf(name).reloadable !== true).map(
  (name) => [name, camelCase(name) as keyof Settings] as const,
);

/**
 * Begins to watch the configuration files and the certificates. They are looked at by polling their state through every symbolic link: that also
 * sees the links that Kubernetes swaps, editors that write a new file, and network file systems, where watching does not.
 * Throws a ConfigurationError when the files have become bad since they were loaded.
 */
export function watchSettings(parameters: LiveParameters): LiveSettings {
  return new WatchedSettings(parameters);
}

class WatchedSettings implements LiveSettings {
  current: Settings;
  reloads = 0;
  failures = 0;
  readonly #parameters: LiveParameters;
  readonly #listeners: ((next: Settings) => void)[] = [];
  readonly #reader: Reader;
  #read: Settings;
  readonly close: () => void;

  constructor(parameters: LiveParameters) {
    this.#parameters = parameters;
    this.current = parameters.initial;
    this.#reader = createReader(parameters);
    this.#read = this.#reader.first;
    const files = (): readonly string[] => filesOf(this.current);
    this.close = pollFiles(files, parameters.intervalMs ?? 300, () => this.reload()).close;
  }

  onChange(listener: (next: Settings) => void): void {
    this.#listeners.push(listener);
  }

  reload(): ReloadOutcome {
    try {
      return this.#takeUp(this.#reader.read());
    } catch (error) {
      this.failures += 1;
      const reason = error instanceof Error ? error.message : 'unknown failure';
      const message = 'the changed configuration is not used; the last good one stays in force';
      this.#parameters.log.error({ reason }, message);
      return { outcome: 'refused', reason };
    }
  }

  #takeUp(read: Settings): ReloadOutcome {
    const changed = RELOADABLE.filter((key) => !same(read[key], this.#read[key]));
    const next = replace(this.current, read, changed);
    // Also when no name has changed: the files behind the names may have.
    this.#parameters.acceptCertificates(next);
    this.#read = read;
    if (changed.length === 0) return { outcome: 'unchanged' };
    this.current = next;
    this.reloads += 1;
    this.#parameters.log.info({ changed }, 'the configuration was read again and is in force');
    for (const listener of this.#listeners) listener(next);
    return { outcome: 'changed' };
  }
}

interface Reader {
  /** What the files said when the watching began. */
  readonly first: Settings;
  /** What they say now; throws when that cannot be used. */
  readonly read: () => Settings;
}

/** Reads the settings anew, and says what a reload cannot do. */
function createReader({ env, folder, initial, log }: LiveParameters): Reader {
  const paths = SETTING_FILES.map((file) => join(initial.configFolder, file));
  const load = (): Configuration => loadConfiguration(folder === undefined ? { env } : { env, folder });
  let present: readonly string[] = paths.filter((path) => existsSync(path));
  const { settings: first, warnings: known } = load();
  let warned = JSON.stringify([[], known]);
  function read(): Settings {
    // A whitelist that is moved away must not open the door; whoever means that writes it down, or starts anew.
    const gone = present.find((path) => !existsSync(path));
    if (gone !== undefined) throw new Error(`${gone} is gone`);
    const { settings, warnings } = load();
    present = paths.filter((path) => existsSync(path));
    const waiting = FIXED.filter(([, key]) => !same(settings[key], first[key])).map(([name]) => name);
    const said = JSON.stringify([waiting, warnings]);
    if (said !== warned && waiting.length > 0)
      log.warn({ settings: waiting }, 'these settings change at the next start');
    if (said !== warned) for (const warning of warnings) log.warn({ warning }, 'allowed, but seldom meant');
    warned = said;
    return settings;
  }
  return { first, read };
}

const same = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right);

function replace(current: Settings, read: Settings, changed: readonly (keyof Settings)[]): Settings {
  const changes = changed.map((key) => [key, read[key]] as const);
  return Object.freeze({ ...current, ...(Object.fromEntries(changes) as Partial<Settings>) });
}

function filesOf(settings: Settings): readonly string[] {
  const own = SETTING_FILES.map((file) => join(settings.configFolder, file));
  return [...own, settings.tlsCertificate, settings.tlsKey, settings.tlsClientCa].filter(
    (path) => path !== '',
  );
}
