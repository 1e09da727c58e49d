// Answers GET and PUT /_api/v2/user/config/cors in Cloudant's format.
import { type JsonObject } from '../json/object.ts';
import { corsProblems, ReadOnlyConfiguration, writeCorsFile } from '../config/cors-file.ts';
import { type CorsSettings } from '../config/cors-rule.ts';
import { type LiveSettings } from '../config/reload.ts';
import { type Environment } from '../config/sources.ts';
import { BadRequest, Conflict } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';
import { type BodyReader } from '../body/read.ts';

export interface CorsConfigParameters {
  readonly bodies: BodyReader;
  readonly live: Pick<LiveSettings, 'current' | 'reload'>;
  readonly env: Environment;
}

const LIMIT_BYTES = 1_048_576;
const FIELDS = ['enable_cors', 'allow_credentials', 'origins'];

/** The settings with the field names of Cloudant. */
interface CorsDocument {
  readonly enable_cors: boolean;
  readonly allow_credentials: boolean;
  readonly origins: readonly string[];
}

function documentOf({ enableCors, allowCredentials, origins }: CorsSettings): CorsDocument {
  return { enable_cors: enableCors, allow_credentials: allowCredentials, origins };
}

/**
 * Creates the handlers. A PUT writes config/cors.yaml and reloads it before it answers. It answers 400 for
 * invalid settings, and 409 if the file cannot be changed; then nothing has changed.
 * Source: IBM Cloudant API, "Set and get CORS".
 */
export function corsConfigHandlers({
  bodies,
  live,
  env,
}: CorsConfigParameters): Pick<Answers, 'api-cors-get' | 'api-cors-put'> {
  return {
    'api-cors-get': (_req, res) => sendJson(res, 200, documentOf(live.current)),
    'api-cors-put': async (req, res, context) => {
      const next = settingsOf(
        await bodies.jsonObject(req, res, { limitBytes: LIMIT_BYTES, budget: 'parsed' }),
      );
      const before = documentOf(live.current);
      putIntoForce(live, next, env);
      context.outcome.change = { action: 'set cors', before, after: documentOf(next) };
      sendJson(res, 200, { ok: true });
    },
  };
}

/**
 * Parses the body. Defaults: CORS is enabled, without credentials, so an absent field never allows
 * credentials.
 */
function settingsOf(body: JsonObject): CorsSettings {
  const unknown = Object.keys(body).filter((name) => !FIELDS.includes(name));
  if (unknown.length > 0) throw new BadRequest(`Unknown fields: ${unknown.join(', ')}`);
  const proposed = {
    enable_cors: body['enable_cors'] ?? true,
    allow_credentials: body['allow_credentials'] ?? false,
    origins: body['origins'] ?? [],
  };
  const problems = corsProblems(proposed);
  if (!Array.isArray(proposed.origins)) throw new BadRequest('origins must be a list');
  if (typeof proposed.enable_cors !== 'boolean' || typeof proposed.allow_credentials !== 'boolean')
    throw new BadRequest('enable_cors and allow_credentials must be true or false');
  if (problems.length > 0) throw new BadRequest(`${problems.join('; ')}.`);
  return {
    enableCors: proposed.enable_cors,
    allowCredentials: proposed.allow_credentials,
    origins: proposed.origins as readonly string[],
  };
}

function putIntoForce(live: CorsConfigParameters['live'], next: CorsSettings, env: Environment): void {
  try {
    const putBack = writeCorsFile(live.current.configFolder, next, env);
    const reloaded = live.reload();
    if (reloaded.outcome !== 'refused') return;
    putBack();
    throw new ReadOnlyConfiguration(`the configuration cannot be reloaded: ${reloaded.reason}`);
  } catch (error) {
    if (!(error instanceof ReadOnlyConfiguration)) throw error;
    throw new Conflict(`The CORS settings cannot be changed: ${error.message}.`, 'read_only');
  }
}
