// Reads and checks certificates, and puts renewed ones in place without a restart. When to do so is config/reload.ts's business.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Server } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';

export interface TlsFiles {
  readonly tlsCertificate: string;
  readonly tlsKey: string;
  /** CA of the client certificates that are demanded; empty = none. */
  readonly tlsClientCa: string;
}

/**
 * Reads the PEM files and proves that they fit together. Throws an Error that names the file, never its content.
 */
export function readTlsFiles(files: TlsFiles): SecureContextOptions {
  const cert = readPem('tls_certificate', files.tlsCertificate);
  const key = readPem('tls_key', files.tlsKey);
  const ca = files.tlsClientCa === '' ? undefined : readPem('tls_client_ca', files.tlsClientCa);
  const options: SecureContextOptions = {
    cert,
    key,
    ...(ca === undefined ? {} : { ca }),
    minVersion: 'TLSv1.2',
  };
  try {
    createSecureContext(options);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new Error(
      `${files.tlsCertificate} and ${files.tlsKey} are not a certificate and its key (${reason})`,
      { cause: error },
    );
  }
  return options;
}

function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new Error(`${setting}: ${path} cannot be read (${code})`, { cause: error });
  }
}

/** New connections use the new certificate; those that are open stay. Old session tickets end, so that no one skips a check that has changed. */
export function replaceCertificate(server: Server, options: SecureContextOptions): void {
  server.setSecureContext(options);
  server.setTicketKeys(randomBytes(48));
}
