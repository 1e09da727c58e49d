// Answers GET and PUT /_api/v2/user/config/cors in Cloudant's shape. Who may ask is authorize's business, what the settings do admit/origin.ts's.
import { corsProblems, ReadOnlyConfiguration, writeCorsFile } from '../config/cors-file.ts';
import { type CorsSettings } from '../config/cors-rule.ts';
import { type LiveSettings } from '../config/reload.ts';
import { type Environment } from '../config/sources.ts';
import { BadRequest, Conflict } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';
import { type JsonObject } from '../body/parse.ts';
import { type BodyReader } from '../body/read.ts';

export interface CorsConfigParameters {
  readonly bodies: BodyReader;
  readonly live: Pick<LiveSettings, 'current' | 'reload'>;
  readonly env: Environment;
}

const LIMIT_BYTES = 1_048_576;
const FIELDS = ['enable_cors', 'allow_credentials', 'origins'];

/** Cloudant's names of the settings. */
interface CorsDocument {
  readonly enable_cors: boolean;
  readonly allow_credentials: boolean;
  readonly origins: readonly string[];
}

function documentOf({ enableCors, allowCredentials, origins }: CorsSettings): CorsDocument {
  return { enable_cors: enableCors, allow_credentials: allowCredentials, origins };
}

/**
 * The handlers of both rows. A PUT writes config/cors.yaml and takes it into force before it answers; it is refused with 400 for what the file could
 * not hold, with 409 when the file cannot be changed, and then nothing has changed. Source: IBM Cloudant API, "Set and get CORS".
 */
export function corsConfigHandlers({
  bodies,
  live,
  env,
}: CorsConfigParameters): Pick<Answers, 'api-cors-get' | 'api-cors-put'> {
  return {
    'api-cors-get': (_req, res) => sendJson(res, 200, documentOf(live.current)),
    'api-cors-put': async (req, res, context) => {
      const next = settingsOf(await bodies.jsonObject(req, res, { limitBytes: LIMIT_BYTES }));
      const before = documentOf(live.current);
      putIntoForce(live, next, env);
      context.outcome.change = { action: 'set cors', before, after: documentOf(next) };
      sendJson(res, 200, { ok: true });
    },
  };
}

/** A field left out has a fixed meaning: whoever sends origins wants CORS on, and credentials are never allowed by silence. */
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
    throw new ReadOnlyConfiguration(`the configuration cannot be read again: ${reloaded.reason}`);
  } catch (error) {
    if (!(error instanceof ReadOnlyConfiguration)) throw error;
    throw new Conflict(`CORS cannot be changed here: ${error.message}.`, 'read_only');
  }
}
