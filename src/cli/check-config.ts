// `--check-config`: says whether Couchgate could start with this configuration, and `--print-config` what it would start with.
import { describeSettings } from '../config/describe.ts';
import { loadConfiguration, type Configuration } from '../config/load.ts';
import { ConfigurationError } from '../config/problem.ts';
import { readTlsFiles } from '../listen/tls.ts';
import { type Command, type CommandIo } from './command.ts';

/** Lists every problem and exits with 1, or says that there is none. The certificates are read too; nothing is opened, made or asked. */
export const checkConfig: Command = (_words, io) => {
  const configuration = loadOrTell(io);
  if (configuration === undefined) return 1;
  const { settings, warnings } = configuration;
  if (settings.tlsListen !== 'off') {
    try {
      readTlsFiles(settings);
    } catch (error) {
      io.stderr.write(`The certificate cannot be used: ${error instanceof Error ? error.message : ''}\n`);
      return 1;
    }
  }
  for (const warning of warnings) io.stderr.write(`Warning: ${warning}\n`);
  io.stdout.write(`The configuration in ${settings.configFolder} is good.\n`);
  return 0;
};

/** Writes every setting with its value and where that comes from, as YAML; secrets are masked. */
export const printConfig: Command = (_words, io) => {
  const configuration = loadOrTell(io);
  if (configuration === undefined) return 1;
  io.stdout.write(describeSettings(configuration));
  return 0;
};

function loadOrTell({ env, stderr }: CommandIo): Configuration | undefined {
  try {
    return loadConfiguration({ env });
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    stderr.write(`${error.message}\n`);
    return undefined;
  }
}
