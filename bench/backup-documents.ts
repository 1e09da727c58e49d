// Writes the documents of the measurements of backups.
import { randomBytes } from 'node:crypto';
import { succeeded, type Admin } from '../src/setup/admin.ts';

const AT_ONCE = 1000;

/** The id of the n-th document. */
export function documentId(n: number): string {
  return `doc-${String(n).padStart(8, '0')}`;
}

/** Creates a database with so many documents of 1 KB. */
export async function writeDocuments(admin: Admin, database: string, count: number): Promise<void> {
  succeeded(await admin.ask('PUT', `/${database}`), 'creating a database');
  for (let at = 0; at < count; at += AT_ONCE) {
    const docs = Array.from({ length: Math.min(AT_ONCE, count - at) }, (_, n) => ({
      _id: documentId(at + n),
      n: at + n,
      price: (at + n) / 7,
      tags: ['a', 'b'],
      nested: { a: [1, 2, 3], b: null },
      text: `${textOf()}${textOf()}`,
    }));
    succeeded(await admin.ask('POST', `/${database}/_bulk_docs`, { docs }), 'writing documents');
  }
}

const textOf = (): string => randomBytes(360).toString('base64').replaceAll('/', ' ');
