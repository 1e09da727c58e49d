// Computes the markers of a database as the design defines them, independently of the code under test.
import { createHash } from 'node:crypto';

export function markersOf(database: string): { readonly member: string; readonly dbadmin: string } {
  const prefix = `couchgate-${createHash('sha256').update(database).digest('hex').slice(0, 16)}`;
  return { member: `${prefix}-member`, dbadmin: `${prefix}-dbadmin` };
}
