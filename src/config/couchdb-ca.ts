// Reads the CA of CouchDB nodes with https.
import { readPem } from './pem-file.ts';
import { type Settings } from './settings.ts';

/** The PEM of the setting `couchdb_ca`; `undefined` = Node's own list of CAs. Throws if it has none. */
export function readCouchdbCa({ couchdbCa }: Pick<Settings, 'couchdbCa'>): string | undefined {
  return couchdbCa === '' ? undefined : readPem('couchdb_ca', couchdbCa, 'CERTIFICATE');
}
