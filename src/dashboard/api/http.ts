// Sends requests to Couchgate's HTTP API, from the origin and path that served the dashboard.
import { ApiError } from './api-error.ts';

export { ApiError } from './api-error.ts';

/** While Couchgate or CouchDB is away, a page asks again in this interval, in milliseconds. */
export const RETRY_MS = 3000;

export interface ApiRequest {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** Path below the root of Couchgate, without a leading slash; see `pathOf`. */
  readonly path: string;
  readonly body?: unknown;
  /** JSON that is sent as it is written, in place of `body`: numbers keep their digits. */
  readonly json?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface ApiAnswer<Body> {
  readonly body: Body;
  /** Revision of the permission record, `<generation>.<revision>`; undefined if the server keeps none. */
  readonly revision: string | undefined;
}

/** Root of the API: the parent of `/_dashboard/`, so that a proxy may serve both under another path. */
export const API_ROOT = new URL('../', document.baseURI.split('#', 1)[0]).href;

/** Resolves when somebody has signed in again; rejects if they give up. Set by the session. */
let signInAgain: () => Promise<void> = () => Promise.reject(new Error('no session'));

/** Sets what happens when the session has ended: the request waits, and is sent again. */
export function onSessionEnd(ask: () => Promise<void>): void {
  signInAgain = ask;
}

/**
 * Sends a request and parses its JSON answer. If the session has ended, it waits for a sign-in and sends the
 * request again: a save loses no edits. Rejects with an ApiError.
 */
export async function call<Body>(request: ApiRequest): Promise<ApiAnswer<Body>> {
  const answer = await answerTo(request);
  const { value } = await jsonIn(request, answer);
  return {
    body: value as Body,
    revision: answer.headers.get('X-Couchgate-Revision') ?? undefined,
  };
}

/** As `call`, with the JSON of the answer as it is written: numbers keep their digits. */
export async function callText(request: ApiRequest): Promise<string> {
  const { text } = await jsonIn(request, await answerTo(request));
  return text;
}

/** As `call`, with the bytes of the answer, for attachments and pages. */
export async function callBlob(request: ApiRequest): Promise<Blob> {
  const answer = await answerTo(request);
  return whole(request, answer.blob());
}

async function jsonIn(
  request: ApiRequest,
  answer: Response,
): Promise<{ readonly text: string; readonly value: unknown }> {
  const reading = answer.text().then((text) => ({ text, value: JSON.parse(text) as unknown }));
  return whole(request, reading);
}

/** A part of an answer counts as none: half a list of permissions is not the permissions. */
async function whole<T>({ signal }: ApiRequest, reading: Promise<T>): Promise<T> {
  return reading.catch((error: unknown) => {
    if (signal?.aborted === true) throw error;
    throw new ApiError(0, 'unreachable', 'The answer broke off.', undefined);
  });
}

async function answerTo(request: ApiRequest): Promise<Response> {
  try {
    return await send(request);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401 || request.path === '_session') throw error;
    await signInAgain().catch(() => {
      throw error;
    });
    return send(request);
  }
}

async function send({ method = 'GET', path, body, json, headers, signal }: ApiRequest): Promise<Response> {
  const sent = json ?? (body === undefined ? undefined : JSON.stringify(body));
  const answer = await fetch(API_ROOT + path, {
    method,
    // Every request of the dashboard names itself: no link, form or image of a page can do so.
    headers: {
      'X-Couchgate-Dashboard': '1',
      Accept: 'application/json, */*;q=0.1',
      ...(sent === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    cache: 'no-store',
    credentials: 'same-origin',
    redirect: 'error',
    ...(sent === undefined ? {} : { body: sent }),
    ...(signal === undefined ? {} : { signal }),
  }).catch((error: unknown) => {
    if (signal?.aborted === true) throw error;
    throw new ApiError(0, 'unreachable', 'Couchgate cannot be reached.', undefined);
  });
  if (answer.ok) return answer;
  const requestId = answer.headers.get('X-Couch-Request-ID') ?? undefined;
  const parsed: unknown = await answer.json().catch(() => undefined);
  throw errorOf(answer.status, parsed, requestId);
}

function errorOf(status: number, body: unknown, requestId: string | undefined): ApiError {
  const { error, reason } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  return new ApiError(
    status,
    typeof error === 'string' ? error : 'error',
    typeof reason === 'string' ? reason : `The answer was ${status}.`,
    requestId,
  );
}
