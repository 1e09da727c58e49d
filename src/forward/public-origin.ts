// Finds the host and the scheme under which the client reached Couchgate, for functions of design documents.

export interface PublicOrigin {
  /** Host with its port, as in the Host header. */
  readonly host: string;
  readonly scheme: 'http' | 'https';
}

/** A name or an address with a port. Anything else could mean something else to CouchDB (H6). */
const HOST = /^(?:[a-z0-9_](?:[a-z0-9._-]{0,253})|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/iu;

/**
 * Returns the origin of `publicUrl`, else that of the request's own Host. Returns undefined if the Host is
 * missing or is not a plain host: CouchDB then gets the name of its node.
 */
export function publicOrigin(
  publicUrl: string,
  host: string | undefined,
  secure: boolean,
): PublicOrigin | undefined {
  if (publicUrl !== '') {
    const scheme = publicUrl.startsWith('https:') ? 'https' : 'http';
    return { host: publicUrl.slice(scheme.length + '://'.length), scheme };
  }
  if (host === undefined || !HOST.test(host)) return undefined;
  return { host, scheme: secure ? 'https' : 'http' };
}
