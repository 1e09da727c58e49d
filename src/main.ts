#!/usr/bin/env node
// Entry point of the command line: runs the command, or the server without one.
import { readFileSync } from 'node:fs';
import { audit } from './cli/audit.ts';
import { checkConfig, printConfig } from './cli/check-config.ts';
import { type Command } from './cli/command.ts';
import { corsCheck } from './cli/cors-check.ts';
import { askPassword } from './cli/ask-password.ts';
import { loadConfiguration, loadSettings } from './config/load.ts';
import { explainFailure } from './explain-failure.ts';
import { EMBEDDED_OPTION, serve } from './serve.ts';
import { runSetup } from './setup/index.ts';

const USAGE = `Usage: couchgate [command]

  (none)                 start the proxy with the settings of config/ and the environment
  setup <url>...         prepare an existing CouchDB cluster; \`setup\` alone lists its options
  audit [file]...        filter an access log
  cors-check <origin>    print which rule allows or refuses a preflight
  --check-config         list every problem of the configuration; exit code 1 if there is one
  --print-config         print every setting with its value and source; secrets are masked
  --version, --help

Settings: docs/configuration.md
`;

const setup: Command = (args, { env, stdout }) =>
  runSetup({
    args,
    env,
    settings: () => loadSettings({ env, purpose: 'setup' }),
    print: (line) => stdout.write(`${line}\n`),
    askPassword,
  });

const showVersion: Command = (_words, { stdout }) => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  stdout.write(`${version}\n`);
  return 0;
};

const showUsage: Command = (_words, { stdout }) => {
  stdout.write(USAGE);
  return 0;
};

const COMMANDS: Readonly<Record<string, Command>> = {
  setup,
  audit,
  'cors-check': corsCheck,
  '--check-config': checkConfig,
  '--print-config': printConfig,
  '--version': showVersion,
  '--help': showUsage,
  '-h': showUsage,
};

async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || name.startsWith(EMBEDDED_OPTION))
    return serve(loadConfiguration({ env: process.env }), process.env);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command !== undefined) return command(rest, process);
  process.stderr.write(`couchgate: unknown command ${name}\n${USAGE}`);
  return 2;
}

// A closed pipe (`couchgate audit | head`) is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`couchgate: ${explainFailure(error)}\n`);
  process.exitCode = 1;
}
// An open handle (idle connection, timer) must not keep the process alive after the command ends or fails.
process.exit();
