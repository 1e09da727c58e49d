// Asks Couchgate whether a request would be permitted, and why.
import { type AskedRequest, type Explanation } from '../explain-words.ts';
import { call } from './http.ts';

/** Explains one request of `principal`: a key, a user, a server admin, or `nobody`. */
export async function explain(
  principal: string,
  request: AskedRequest,
  signal: AbortSignal,
): Promise<Explanation> {
  const body = { principal, ...request };
  return (await call<Explanation>({ method: 'POST', path: '_api/v2/explain', body, signal })).body;
}
