// `cors-check <origin>`: replays a preflight against the configuration and says which rule lets it pass or fail.
import { parseArgs } from 'node:util';
import { corsRule, judgePreflight } from '../config/cors-rule.ts';
import { loadConfiguration } from '../config/load.ts';
import { nearest } from '../config/nearest.ts';
import { ConfigurationError } from '../config/problem.ts';
import { type Settings } from '../config/settings.ts';
import { readOrigin } from '../config/value.ts';
import { type Command } from './command.ts';

const USAGE = `Usage: couchgate cors-check <origin> [--method PUT] [--headers "authorization, x-mine"]
The origin as the browser sends it, for example https://app.example.com or app://obsidian.md.
`;

interface Asked {
  readonly origin: string;
  readonly method: string;
  readonly headers: string;
}

/** Exits with 0 when the preflight passes, 1 when it fails, 2 when it was wrongly called. */
export const corsCheck: Command = (words, { env, stdout, stderr }) => {
  const asked = readWords(words);
  if (asked === undefined) {
    stderr.write(USAGE);
    return 2;
  }
  try {
    const { settings, origins } = loadConfiguration({ env });
    const verdict = judgePreflight(corsRule(settings), asked.origin, asked.method, asked.headers);
    const source = origins.get('origins') ?? 'the default';
    if (verdict.allow) {
      const credentials = settings.allowCredentials ? 'with' : 'without';
      stdout.write(
        `pass: ${asked.origin} is let in by ${verdict.rule} (${source}), ${credentials} credentials\n`,
      );
      return 0;
    }
    stdout.write(`fail: ${verdict.reason}; set by ${source}\n${hint(asked.origin, settings)}`);
    return 1;
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    stderr.write(`${error.message}\n`);
    return 2;
  }
};

function readWords(words: readonly string[]): Asked | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
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

/** What most often is the matter: a slash at the end, another scheme or port, another spelling. */
function hint(origin: string, { enableCors, origins }: Settings): string {
  if (!enableCors) return 'hint: set enable_cors: true in cors.yaml\n';
  try {
    readOrigin(origin);
  } catch (error) {
    return `hint: no browser sends this origin: ${error instanceof Error ? error.message : ''}\n`;
  }
  const near = nearest(origin, origins);
  return near === undefined ? '' : `hint: listed is ${near}; origins are compared letter by letter\n`;
}
