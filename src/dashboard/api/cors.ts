// Requests about the CORS settings.
import { call } from './http.ts';

export interface CorsDocument {
  readonly enable_cors: boolean;
  readonly allow_credentials: boolean;
  readonly origins: readonly string[];
}

const PATH = '_api/v2/user/config/cors';

export async function readCors(signal?: AbortSignal): Promise<CorsDocument> {
  return (await call<CorsDocument>({ path: PATH, ...(signal === undefined ? {} : { signal }) })).body;
}

/**
 * Applies a change to the settings as they are now, so that the change of somebody else stays. Resolves with
 * the settings that were written. Rejects with 409 `read_only` if the file cannot be written.
 */
export async function changeCors(change: (now: CorsDocument) => CorsDocument): Promise<CorsDocument> {
  const next = change(await readCors());
  await call({ method: 'PUT', path: PATH, body: next });
  return next;
}

export type CorsVerdict =
  | { readonly allowed: true; readonly rule: string; readonly credentials: boolean }
  | { readonly allowed: false; readonly reason: string; readonly hint: string | null };

export interface CorsQuestion {
  readonly origin: string;
  readonly method: string;
  /** Names, separated by commas. */
  readonly headers: string;
}

/** Asks whether a preflight would pass. */
export async function testCors(question: CorsQuestion): Promise<CorsVerdict> {
  return (await call<CorsVerdict>({ method: 'POST', path: '_api/v2/cors/test', body: question })).body;
}
