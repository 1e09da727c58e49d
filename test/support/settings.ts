// Settings for tests: the defaults with changes of the test.
import { loadSettings } from '../../src/config/load.ts';
import { type Settings } from '../../src/config/settings.ts';

/** Default settings with `over` on top; listeners on any free port, nothing read from a folder. */
export function testSettings(over: Partial<Settings> = {}): Settings {
  const defaults = loadSettings({ env: {}, folder: '/nonexistent' });
  return { ...defaults, listen: '127.0.0.1:0', metricsListen: '127.0.0.1:0', ...over };
}
