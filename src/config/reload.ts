// Reloads the configuration files when they change, and replaces the settings atomically.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { camelCase, loadConfiguration, type Configuration, type LoadParameters } from './load.ts';
import { type OperationalLog } from './operational-log.ts';
import { pollFiles } from './poll-files.ts';
import { type Settings } from './settings.ts';
import { CORS_FILE, pathOf, SETTING_FILES, SETTING_NAMES, settingOf, type Environment } from './sources.ts';

/** Result of a reload. */
export type ReloadOutcome =
  { readonly outcome: 'changed' | 'unchanged' } | { readonly outcome: 'refused'; readonly reason: string };

/**
 * What a watcher has read. Another process that goes on from it serves by the same rules as one that has run
 * all the time: a removed or broken file and a changed fixed setting have no effect there either. Survives
 * JSON; it contains secrets.
 */
export interface WatchState {
  /** The settings in effect. */
  readonly current: Settings;
  /** The last valid settings in the files, and those at the start. */
  readonly read: Settings;
  readonly first: Settings;
  /** Paths of the files that must not disappear. */
  readonly present: readonly string[];
  /** The warnings that were logged, so that each is logged once. */
  readonly warned: string;
}

export interface LiveSettings {
  /**
   * The latest valid settings. A reload replaces the whole object, so that a reader of one object sees one
   * version.
   */
  readonly current: Settings;
  /** Number of successful and of failed reloads since the start. */
  readonly reloads: number;
  readonly failures: number;
  /** Reads the files now: after SIGHUP, and after Couchgate has written a file. */
  reload(): ReloadOutcome;
  /** Registers a listener that is called with every new version, after it is in effect. */
  onChange(listener: (next: Settings) => void): void;
  /** The state now, for a process that goes on from it. */
  state(): WatchState;
  close(): void;
}

export interface LiveParameters extends LoadParameters {
  /** Settings at the start; later changes of the files are applied to them. */
  readonly initial: Settings;
  /**
   * Goes on from the state of another watcher. Call `reload` for what has changed since then: polling does
   * not report it.
   */
  readonly resumed?: WatchState | undefined;
  readonly log: OperationalLog;
  /** Applies renewed certificates. If it throws, the reload fails and no new setting is applied. */
  readonly acceptCertificates: (next: Settings) => void;
  /** Polling interval in milliseconds. A change is applied once two polls see the same state. */
  readonly intervalMs?: number;
}

const RELOADABLE = SETTING_NAMES.filter((name) => settingOf(name).reloadable === true).map(
  (name) => [name, camelCase(name) as keyof Settings] as const,
);
const FIXED = SETTING_NAMES.filter((name) => settingOf(name).reloadable !== true).map(
  (name) => [name, camelCase(name) as keyof Settings] as const,
);

/**
 * Starts to watch the configuration files and the certificates. Polling also detects swapped symbolic links
 * (Kubernetes), editors that replace the file, and network file systems; inotify does not. Without `resumed`,
 * it throws a ConfigurationError if the files became invalid since they were loaded.
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
    const { resumed } = parameters;
    this.#parameters = parameters;
    this.current = resumed?.current ?? parameters.initial;
    this.#reader = createReader(parameters);
    this.#read = resumed?.read ?? this.#reader.known().first;
    const files = (): readonly string[] => filesOf(this.current, parameters.env);
    this.close = pollFiles(files, parameters.intervalMs ?? 300, () => this.reload()).close;
  }

  state(): WatchState {
    return { ...this.#reader.known(), current: this.current, read: this.#read };
  }

  onChange(listener: (next: Settings) => void): void {
    this.#listeners.push(listener);
  }

  reload(): ReloadOutcome {
    try {
      return this.#apply(this.#reader.read());
    } catch (error) {
      this.failures += 1;
      const reason = error instanceof Error ? error.message : 'unknown failure';
      const message = 'configuration reload failed; the previous configuration stays in effect';
      this.#parameters.log.error({ reason }, message);
      return { outcome: 'refused', reason };
    }
  }

  #apply(read: Settings): ReloadOutcome {
    const changes = RELOADABLE.filter(([, key]) => !same(read[key], this.#read[key]));
    const next = replace(
      this.current,
      read,
      changes.map(([, key]) => key),
    );
    // Also if no setting has changed: the content of the certificate files may have.
    this.#parameters.acceptCertificates(next);
    this.#read = read;
    this.#reader.accept();
    if (changes.length === 0) return { outcome: 'unchanged' };
    this.current = next;
    this.reloads += 1;
    // The names that an operator writes, not those of the code.
    this.#parameters.log.info({ changed: changes.map(([name]) => name) }, 'configuration reloaded');
    for (const listener of this.#listeners) listener(next);
    return { outcome: 'changed' };
  }
}

interface Reader {
  /** What the reader compares the files with. */
  readonly known: () => Pick<WatchState, 'first' | 'present' | 'warned'>;
  /** Reads the current settings; throws if they are invalid. */
  readonly read: () => Settings;
  /** From now on, the files that were read last must exist. */
  readonly accept: () => void;
}

/** Builds the reader, which also logs warnings and changes that need a restart. */
function createReader({ env, folder, initial, resumed, log }: LiveParameters): Reader {
  const load = (): Configuration => loadConfiguration(folder === undefined ? { env } : { env, folder });
  const start = resumed ?? stateAtStart(load(), env);
  const { first } = start;
  let { present, warned } = start;
  let seen = present;
  function read(): Settings {
    // A removed whitelist must not open access. To remove it, write an explicit value or restart.
    const gone = present.find((path) => !existsSync(path));
    if (gone !== undefined) throw new Error(`${gone} no longer exists`);
    const { settings, warnings } = load();
    seen = presentFiles(initial.configFolder, env);
    const waiting = FIXED.filter(([, key]) => !same(settings[key], first[key])).map(([name]) => name);
    const said = JSON.stringify([waiting, warnings]);
    if (said !== warned && waiting.length > 0)
      log.warn({ settings: waiting }, 'changed settings take effect after a restart');
    if (said !== warned) for (const warning of warnings) log.warn({ warning }, 'configuration warning');
    warned = said;
    return settings;
  }
  return { known: () => ({ first, present, warned }), read, accept: () => void (present = seen) };
}

/** The state of a watcher that has just loaded this configuration. */
export function stateAtStart({ settings, warnings }: Configuration, env: Environment): WatchState {
  const present = presentFiles(settings.configFolder, env);
  const warned = JSON.stringify([[], warnings]);
  return { current: settings, read: settings, first: settings, present, warned };
}

function presentFiles(folder: string, env: Environment): readonly string[] {
  return SETTING_FILES.map((file) => pathOf(folder, file, env)).filter((path) => existsSync(path));
}

const same = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right);

function replace(current: Settings, read: Settings, changed: readonly (keyof Settings)[]): Settings {
  const changes = changed.map((key) => [key, read[key]] as const);
  return Object.freeze({ ...current, ...(Object.fromEntries(changes) as Partial<Settings>) });
}

function filesOf(settings: Settings, env: Environment): readonly string[] {
  const { configFolder } = settings;
  const own = SETTING_FILES.map((file) => join(configFolder, file));
  // The folder itself: a new file with an unknown name must be reported at once, not at the next start.
  const others = [configFolder, env[CORS_FILE] ?? ''];
  return [...own, ...others, settings.tlsCertificate, settings.tlsKey, settings.tlsClientCa].filter(
    (path) => path !== '',
  );
}
