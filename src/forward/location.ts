// Turns the addresses in CouchDB's answers into ones that mean something to the client.

/**
 * A Location as the client may see it: CouchDB writes its own address, made of the Host that it was sent, and that becomes
 * `publicUrl` (without a slash at its end), or nothing, which leaves a path. Anything else was chosen by a design function and stays.
 */
export function publicLocation(location: string, nodeHost: string, publicUrl: string): string {
  const path = pathBehind(location, `http://${nodeHost}/`) ?? pathBehind(location, `https://${nodeHost}/`);
  return path === undefined ? location : publicUrl + path;
}

function pathBehind(location: string, origin: string): string | undefined {
  return location.startsWith(origin) ? location.slice(origin.length - 1) : undefined;
}

/**
 * CouchDB redirects what looks like a browser to a login page in place of a 401. The reason it would have given, or undefined when
 * the answer is no such redirect. Source: chttpd.erl, error_headers.
 */
export function loginReason(
  status: number,
  location: string | undefined,
  nodeHost: string,
): string | undefined {
  if (status !== 302 || location === undefined) return undefined;
  const [path, query = ''] = publicLocation(location, nodeHost, '').split('?', 2);
  if (path !== '/_utils/session.html') return undefined;
  return new URLSearchParams(query).get('reason') ?? 'You are not authorized to access this resource.';
}
