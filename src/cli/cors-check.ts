// `couchgate cors-check <origin>`: judges a preflight by the configured CORS rules and prints the result.
import { parseArgs } from 'node:util';
import { corsHint } from '../config/cors-hint.ts';
import { corsRule, judgePreflight } from '../config/cors-rule.ts';
import { loadConfiguration } from '../config/load.ts';
import { ConfigurationError } from '../config/problem.ts';
import { type Settings } from '../config/settings.ts';
import { type Command } from './command.ts';

export const CORS_CHECK_USAGE = `Usage: couchgate cors-check <origin> [--method PUT] [--headers "authorization, x-mine"]
Prints which rule of cors.yaml allows or refuses the preflight. Pass the origin as the browser sends it, for example
https://app.example.com or app://obsidian.md.
  --method METHOD     method of the request; default: PUT
  --headers NAMES     headers of the request; default: authorization, content-type
Exit codes: 0 = the preflight passes, 1 = it fails, 2 = invalid usage or configuration.
`;

interface CorsQuery {
  readonly origin: string;
  readonly method: string;
  readonly headers: string;
}

/** Runs the command; CORS_CHECK_USAGE lists the exit codes. */
export const corsCheck: Command = (args, { env, stdout, stderr }) => {
  const query = readArguments(args);
  if (query === undefined) {
    stderr.write(CORS_CHECK_USAGE);
    return 2;
  }
  try {
    const { settings, sourceOf } = loadConfiguration({ env });
    const verdict = judgePreflight(corsRule(settings), query.origin, query.method, query.headers);
    const source = sourceOf.get('origins') ?? 'the default';
    if (verdict.allow) {
      const credentials = settings.allowCredentials ? 'with' : 'without';
      stdout.write(
        `pass: ${query.origin} is allowed by ${verdict.rule} (${source}), ${credentials} credentials\n`,
      );
      return 0;
    }
    stdout.write(`fail: ${verdict.reason}; set by ${source}\n${hintLine(query.origin, settings)}`);
    return 1;
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    stderr.write(`${error.message}\n`);
    return 2;
  }
};

function readArguments(args: readonly string[]): CorsQuery | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { method: { type: 'string' }, headers: { type: 'string' } },
    });
    const [origin, ...rest] = positionals;
    if (origin === undefined || rest.length > 0) return undefined;
    return {
      origin,
      method: values.method ?? 'PUT',
      headers: values.headers ?? 'authorization, content-type',
    };
  } catch {
    return undefined;
  }
}

function hintLine(origin: string, settings: Settings): string {
  const hint = corsHint(origin, settings);
  return hint === undefined ? '' : `hint: ${hint}\n`;
}
