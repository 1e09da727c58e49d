// A proxy between Couchgate and CouchDB that records what Couchgate sends.
import http from 'node:http';
import { type AddressInfo } from 'node:net';

export interface Recorded {
  readonly method: string;
  /** The request target, byte for byte. */
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  /** Claims of the bearer token, undefined without one. */
  readonly claims:
    { readonly sub: string | null; readonly exp: number; readonly roles: readonly string[] } | undefined;
}

export interface Recorder {
  readonly url: string;
  /** Requests for clients since the last `take`, without Couchgate's own requests. */
  take(): readonly Recorded[];
  /** Password checks of users since the last `takeChecks`. */
  takeChecks(): readonly Recorded[];
  /** All requests since the last `takeEverything`, including Couchgate's own. */
  takeEverything(): readonly Recorded[];
  /** Holds requests whose path matches until they are released. One hold at a time. */
  hold(path: RegExp): Held;
  /** Closes every connection and stops listening, like a stopped CouchDB. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface Held {
  /** Number of held requests. */
  readonly count: number;
  /** Forwards the held requests and ends the hold. */
  release(): void;
}

/** Reads the claims of a JWT without checking its signature: CouchDB does that. */
export function claimsOf(authorization: string | undefined): Recorded['claims'] {
  const payload = authorization?.startsWith('Bearer ') === true ? authorization.split('.')[1] : undefined;
  if (payload === undefined) return undefined;
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
  return {
    sub: claims['sub'] as string | null,
    exp: Number(claims['exp']),
    roles: (claims['_couchdb.roles'] ?? []) as string[],
  };
}

/** Couchgate's own requests: as `couchgate`, health checks, and the check of a user's password. */
function isOwnTraffic(method: string, url: string, claims: Recorded['claims']): boolean {
  return claims?.sub === 'couchgate' || (method === 'GET' && (url === '/_up' || url === '/_session'));
}

/** Starts a transparent proxy for `target`, for example `http://127.0.0.1:40001`. */
export async function startRecorder(target: string): Promise<Recorder> {
  const { hostname, port } = new URL(target);
  const agent = new http.Agent({ keepAlive: true });
  let seen: Recorded[] = [];
  let checks: Recorded[] = [];
  let everything: Recorded[] = [];
  let held: { readonly path: RegExp; readonly waiting: (() => void)[] } | undefined;
  const server = http.createServer((req, res) => {
    const { method = '', url = '', headers, rawHeaders } = req;
    const claims = claimsOf(headers.authorization);
    const recorded = { method, url, headers, rawHeaders, claims };
    everything.push(recorded);
    if (!isOwnTraffic(method, url, claims)) seen.push(recorded);
    if (url === '/_session' && headers.authorization?.startsWith('Basic ') === true) checks.push(recorded);
    const relay = (): void => {
      const onward = http.request({ hostname, port, method, path: url, headers, agent }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(res);
        answer.once('close', () => {
          if (!answer.complete) res.destroy();
        });
      });
      onward.once('error', () => res.destroy());
      res.once('close', () => onward.destroy());
      req.pipe(onward);
    };
    if (held?.path.test(url) === true) held.waiting.push(relay);
    else relay();
  });
  const listen = (at: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(at, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await listen(0);
  const own = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${own}`,
    take() {
      const taken = seen;
      seen = [];
      return taken;
    },
    takeChecks() {
      const taken = checks;
      checks = [];
      return taken;
    },
    takeEverything() {
      const taken = everything;
      everything = [];
      return taken;
    },
    hold(path) {
      const waiting: (() => void)[] = [];
      held = { path, waiting };
      return {
        get count() {
          return waiting.length;
        },
        release() {
          held = undefined;
          for (const relay of waiting.splice(0)) relay();
        },
      };
    },
    stop,
    restart: () => listen(own),
    async close() {
      agent.destroy();
      await stop();
    },
  };
}
