// Reads and validates TLS certificates, and replaces them at run time.
import { randomBytes } from 'node:crypto';
import { type Server } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { readPem } from '../config/pem-file.ts';
import { type Settings } from '../config/settings.ts';

export interface TlsFiles {
  readonly tlsCertificate: string;
  readonly tlsKey: string;
  /** CA of required client certificates; empty = none required. */
  readonly tlsClientCa: string;
}

/** True if a listener serves HTTPS: that of the dashboard does if there is a certificate. */
export function hasHttps(
  settings: Pick<Settings, 'tlsListen' | 'tlsCertificate' | 'dashboardListen' | 'dashboard'>,
): boolean {
  const isForDashboard = settings.dashboard !== 'off' && settings.dashboardListen !== 'off';
  return settings.tlsListen !== 'off' || (isForDashboard && settings.tlsCertificate !== '');
}

/**
 * Reads the PEM files and checks that certificate and key match. Throws an Error that names the files, never
 * their content.
 */
export function readTlsFiles(files: TlsFiles): SecureContextOptions {
  const cert = readPem('tls_certificate', files.tlsCertificate, 'CERTIFICATE');
  const key = readPem('tls_key', files.tlsKey, 'PRIVATE KEY');
  const ca =
    files.tlsClientCa === '' ? undefined : readPem('tls_client_ca', files.tlsClientCa, 'CERTIFICATE');
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
      `${files.tlsCertificate} and ${files.tlsKey} are not a matching certificate and key (${reason})`,
      { cause: error },
    );
  }
  return options;
}

/**
 * Replaces the certificate for new connections; open ones stay. New ticket keys invalidate old session
 * tickets, so that no resumed session skips a changed check.
 */
export function replaceCertificate(server: Server, options: SecureContextOptions): void {
  server.setSecureContext(options);
  server.setTicketKeys(randomBytes(48));
}
