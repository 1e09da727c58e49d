// Redirects plain HTTP requests to HTTPS.
import { type RequestListener } from 'node:http';
import { isProbe } from '../catalogue/probe.ts';
import { type RefusalLog } from './refusals.ts';

export interface RedirectTarget {
  /** Public https URL of Couchgate; '' = use the Host header of the request. */
  readonly publicUrl: string;
  /** Port of the HTTPS listener. */
  readonly port: () => number;
  readonly log: RefusalLog;
  /** Answers `GET /_up`. A redirect would tell a load balancer that a draining Couchgate is healthy. */
  readonly probe: RequestListener;
}

/**
 * Builds the listener. Status 308 keeps method and body (RFC 9110 §15.4.9). The Host header is untrusted: it
 * is used only in the response to the same client, and only if it is a plain host name or address.
 */
export function redirectToHttps({ publicUrl, port, log, probe }: RedirectTarget): RequestListener {
  return function redirectToHttpsStep(req, res) {
    if (isProbe(req)) {
      probe(req, res);
      return;
    }
    log({ client: req.socket.remoteAddress }, 'redirected a plain HTTP request to HTTPS');
    const host = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?$/.exec(req.headers.host ?? '')?.[1];
    const suffix = port() === 443 ? '' : `:${port()}`;
    const origin = publicUrl.startsWith('https:') ? publicUrl : host && `https://${host}${suffix}`;
    const target = req.url?.startsWith('/') === true && !req.url.startsWith('//') ? req.url : '/';
    const head = { Connection: 'close', 'Content-Length': 0, 'Cache-Control': 'must-revalidate' };
    if (origin === undefined || origin === '') res.writeHead(400, head).end();
    else res.writeHead(308, { ...head, Location: `${origin}${target}` }).end();
  };
}
