// `--check-config`: reports whether Couchgate can start with the configuration. `--print-config`: prints the
// settings.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { readCouchdbCa } from '../config/couchdb-ca.ts';
import { describeSettings } from '../config/describe.ts';
import { loadConfiguration, type Configuration } from '../config/load.ts';
import { ConfigurationError } from '../config/problem.ts';
import { hasHttps, readTlsFiles } from '../listen/tls.ts';
import { type Command, type CommandIo } from './command.ts';

/**
 * Prints every problem and returns 1, or confirms that the configuration is valid. Reads the certificates
 * too; opens no listener, creates no file and connects to no node.
 */
export const checkConfig: Command = (_args, io) => {
  const configuration = loadOrReport(io);
  if (configuration === undefined) return 1;
  const { settings, warnings } = configuration;
  try {
    if (hasHttps(settings)) readTlsFiles(settings);
    readCouchdbCa(settings);
  } catch (error) {
    io.stderr.write(`The certificate cannot be used: ${error instanceof Error ? error.message : ''}\n`);
    return 1;
  }
  for (const warning of warnings) io.stderr.write(`Warning: ${warning}\n`);
  const folder = resolve(settings.configFolder);
  const source = existsSync(folder) ? `in ${folder}` : `without a folder (${folder} does not exist)`;
  io.stdout.write(`The configuration ${source} is valid.\n`);
  return 0;
};

/** Prints every setting as YAML with its value and source; secrets are masked. */
export const printConfig: Command = (_args, io) => {
  const configuration = loadOrReport(io);
  if (configuration === undefined) return 1;
  io.stdout.write(describeSettings(configuration));
  return 0;
};

function loadOrReport({ env, stderr }: CommandIo): Configuration | undefined {
  try {
    return loadConfiguration({ env });
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    stderr.write(`${error.message}\n`);
    return undefined;
  }
}
