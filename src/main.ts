#!/usr/bin/env node
// Entry point of the command line: runs the command, or the server without one.
import { runCommand } from './cli/commands.ts';
import { withoutControls } from './cli/terminal.ts';
import { EMBEDDED_OPTION } from './embedded-option.ts';
import { explainFailure } from './explain-failure.ts';

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name !== undefined && !name.startsWith(EMBEDDED_OPTION)) return runCommand(name, rest, process);
  // The server is half of the memory and of the start time of a command.
  const { serve } = await import('./serve.ts');
  return serve(process.env);
}

// A closed pipe (`couchgate audit | head`) is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
// A stderr that cannot be written is no reason to stop serving (H42).
process.stderr.on('error', () => undefined);

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`couchgate: ${withoutControls(explainFailure(error))}\n`);
  process.exitCode = 1;
}
// An open handle (idle connection, timer) must not keep the process alive after the command ends or fails.
process.exit();
