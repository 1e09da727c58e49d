// Reads the CA of CouchDB nodes with https.
import { readFileSync } from 'node:fs';
import { type Settings } from './settings.ts';

/** The PEM of the setting `couchdb_ca`; `undefined` = Node's own list of CAs. Throws if it cannot be read. */
export function readCouchdbCa({ couchdbCa }: Pick<Settings, 'couchdbCa'>): string | undefined {
  return couchdbCa === '' ? undefined : readFileSync(couchdbCa, 'utf8');
}
