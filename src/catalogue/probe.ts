// Recognizes the health check of a load balancer before the request is classified.
import { type IncomingMessage } from 'node:http';

/**
 * True for `GET /_up` in exactly this spelling and without credentials. Such a request may pass where others
 * may not (`tls_redirect`, `probe_allow`). With credentials it would be a way to try passwords there.
 */
export function isProbe({ method, url, headers }: IncomingMessage): boolean {
  if (url !== '/_up' || (method !== 'GET' && method !== 'HEAD')) return false;
  return headers.authorization === undefined && headers.cookie === undefined;
}
