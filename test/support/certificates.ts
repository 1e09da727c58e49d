// Creates certificates for tests: self-signed for 127.0.0.1, or signed by another one.
import { generate } from 'selfsigned';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Creates a certificate for `commonName` and 127.0.0.1; `ca` = it may sign others. */
export async function makeCertificate(
  commonName: string,
  options: { readonly ca?: boolean; readonly signedBy?: Certificate } = {},
): Promise<Certificate> {
  const made = await generate([{ name: 'commonName', value: commonName }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: options.ca === true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
    ...(options.signedBy === undefined
      ? {}
      : { ca: { key: options.signedBy.key, cert: options.signedBy.cert } }),
  });
  return { cert: made.cert, key: made.private };
}
