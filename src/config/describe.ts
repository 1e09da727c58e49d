// Prints the effective settings as YAML with the source of each; secrets are masked.
import { camelCase, type Configuration } from './load.ts';
import { type Settings } from './settings.ts';
import { fileOf, SETTING_FILES, SETTING_NAMES, settingOf, type SettingName } from './sources.ts';

/** Returns YAML with the source of each value as a comment. A secret that is set is shown as `"***"`. */
export function describeSettings({ settings, sourceOf }: Configuration): string {
  return SETTING_FILES.map((file) => {
    const lines = SETTING_NAMES.filter((name) => fileOf(name) === file).map((name) => {
      const line = `${name}: ${shown(name, settings)}`;
      return `${line.padEnd(48)} # ${sourceOf.get(name) ?? 'default'}\n`;
    });
    return `# ${file}\n${lines.join('')}`;
  }).join('\n');
}

function shown(name: SettingName, settings: Settings): string {
  const value = settings[camelCase(name) as keyof Settings];
  if (settingOf(name).type === 'secret' && value !== '') return '"***"';
  return JSON.stringify(value);
}
