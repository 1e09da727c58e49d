// Hands out the settings as they are now: reads the files again when they change and replaces the whole, or nothing. What a setting does is its users' business.
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { camelCase, loadConfiguration, type LoadParameters } from './load.ts';
import { type OperationalLog } from './operational-log.ts';
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
 */
export function watchSettings(parameters: LiveParameters): LiveSettings {
  const { log, intervalMs = 300 } = parameters;
  const listeners: ((next: Settings) => void)[] = [];
  const state = { current: parameters.initial, reloads: 0, failures: 0 };
  const reader = createReader(parameters);

  function reload(): ReloadOutcome {
    try {
      const next = withReloadable(state.current, reader());
      // Also when no name has changed: the files behind the names may have.
      parameters.acceptCertificates(next);
      if (!differs(state.current, next)) return { outcome: 'unchanged' };
      state.current = next;
      state.reloads += 1;
      log.info({ reloads: state.reloads }, 'the configuration was read again and is in force');
      for (const listener of listeners) listener(next);
      return { outcome: 'changed' };
    } catch (error) {
      state.failures += 1;
      const reason = error instanceof Error ? error.message : 'unknown failure';
      log.error({ reason }, 'the changed configuration is not used; the last good one stays in force');
      return { outcome: 'refused', reason };
    }
  }

  const watch = poll(() => filesOf(state.current), intervalMs, reload);
  return {
    get current() {
      return state.current;
    },
    get reloads() {
      return state.reloads;
    },
    get failures() {
      return state.failures;
    },
    reload,
    onChange: (listener) => void listeners.push(listener),
    close: watch.close,
  };
}

/** Reads the settings as the files say now, and says what a reload cannot do. */
function createReader({ env, folder, initial, log }: LiveParameters): () => Settings {
  const paths = SETTING_FILES.map((file) => join(initial.configFolder, file));
  let present: readonly string[] = paths.filter((path) => existsSync(path));
  let first: Settings | undefined;
  let warned = '';
  return () => {
    // A whitelist that is moved away must not open the door; whoever means that writes it down, or starts anew.
    const gone = present.find((path) => !existsSync(path));
    if (gone !== undefined) throw new Error(`${gone} is gone`);
    const { settings, warnings } = loadConfiguration(folder === undefined ? { env } : { env, folder });
    present = paths.filter((path) => existsSync(path));
    first ??= settings;
    const before = first;
    const waiting = FIXED.filter(([, key]) => !same(settings[key], before[key])).map(([name]) => name);
    const said = JSON.stringify([waiting, warnings]);
    if (said !== warned && waiting.length > 0)
      log.warn({ settings: waiting }, 'these settings change at the next start');
    if (said !== warned) for (const warning of warnings) log.warn({ warning }, 'allowed, but seldom meant');
    warned = said;
    return settings;
  };
}

const same = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right);

function differs(current: Settings, next: Settings): boolean {
  return RELOADABLE.some((key) => !same(current[key], next[key]));
}

function withReloadable(current: Settings, read: Settings): Settings {
  const changes = RELOADABLE.map((key) => [key, read[key]] as const);
  return Object.freeze({ ...current, ...(Object.fromEntries(changes) as Partial<Settings>) });
}

function filesOf(settings: Settings): readonly string[] {
  const own = SETTING_FILES.map((file) => join(settings.configFolder, file));
  return [...own, settings.tlsCertificate, settings.tlsKey, settings.tlsClientCa].filter(
    (path) => path !== '',
  );
}

/** Calls `onChange` when the state of the files has changed and then stayed for one interval: a file that is half written is not read. */
function poll(
  files: () => readonly string[],
  intervalMs: number,
  onChange: () => unknown,
): { readonly close: () => void } {
  let closed = false;
  let acted: string | undefined;
  let last: string | undefined;
  const look = async (): Promise<void> => {
    const seen = (await Promise.all(files().map(stateOf))).join('\n');
    if (closed) return;
    // The first look counts as a change: something may have been written since the start read the files.
    if (seen !== acted && seen === last) {
      acted = seen;
      onChange();
    }
    last = seen;
    setTimeout(() => void look(), intervalMs).unref();
  };
  void look();
  return { close: () => void (closed = true) };
}

/** Identity, size and time of what a name leads to, through symbolic links. */
async function stateOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}
