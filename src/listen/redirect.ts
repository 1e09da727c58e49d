// Answers plain HTTP with the way to HTTPS, and nothing else.
import { type RequestListener } from 'node:http';
import { type RefusalLog } from './refusals.ts';

export interface RedirectTarget {
  /** Public https address of Couchgate, or '' when it must be taken from the request's Host. */
  readonly publicUrl: string;
  /** Port of the HTTPS listener. */
  readonly port: () => number;
  readonly log: RefusalLog;
}

/**
 * 308 keeps method and body (RFC 9110 §15.4.9). Host is a client's word: it comes back to that client alone, and only when it is a plain host name
 * or address.
 */
export function redirectToHttps({ publicUrl, port, log }: RedirectTarget): RequestListener {
  return function redirectToHttpsStep(req, res) {
    log({ client: req.socket.remoteAddress }, 'answered plain HTTP with the way to HTTPS');
    const host = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?$/.exec(req.headers.host ?? '')?.[1];
    const suffix = port() === 443 ? '' : `:${port()}`;
    const origin = publicUrl.startsWith('https:') ? publicUrl : host && `https://${host}${suffix}`;
    const target = req.url?.startsWith('/') === true && !req.url.startsWith('//') ? req.url : '/';
    const head = { Connection: 'close', 'Content-Length': 0, 'Cache-Control': 'must-revalidate' };
    if (origin === undefined || origin === '') res.writeHead(400, head).end();
    else res.writeHead(308, { ...head, Location: `${origin}${target}` }).end();
  };
}
