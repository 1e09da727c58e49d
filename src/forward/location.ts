// Rewrites the addresses in CouchDB's answers for the client.

/**
 * Rewrites a Location header. CouchDB builds it from the Host header that it receives, so that origin
 * is replaced by `publicUrl`, which has no trailing slash. An empty `publicUrl` leaves a path. A location
 * with another origin comes from a design function and stays unchanged.
 */
export function publicLocation(location: string, sentHost: string, publicUrl: string): string {
  const path = pathOnNode(location, sentHost);
  return path === undefined ? location : publicUrl + path;
}

/** True if a Location leads to the node that sent it. */
export function isNodeLocation(location: string, sentHost: string): boolean {
  return pathOnNode(location, sentHost) !== undefined;
}

function pathOnNode(location: string, sentHost: string): string | undefined {
  return (
    pathAfterOrigin(location, `http://${sentHost}/`) ?? pathAfterOrigin(location, `https://${sentHost}/`)
  );
}

function pathAfterOrigin(location: string, origin: string): string | undefined {
  return location.startsWith(origin) ? location.slice(origin.length - 1) : undefined;
}

/**
 * Returns the reason in CouchDB's redirect to its login page, or undefined for every other answer. CouchDB
 * sends this redirect instead of a 401 to clients that look like a browser. Source: chttpd.erl,
 * error_headers.
 */
export function loginReason(
  status: number,
  location: string | undefined,
  sentHost: string,
): string | undefined {
  if (status !== 302 || location === undefined) return undefined;
  const [path, query = ''] = publicLocation(location, sentHost, '').split('?', 2);
  if (path !== '/_utils/session.html') return undefined;
  return new URLSearchParams(query).get('reason') ?? 'You are not authorized to access this resource.';
}
