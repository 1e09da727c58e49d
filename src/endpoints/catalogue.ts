// The catalogue: every endpoint there is. Classify, authorize, the audit log, the documentation and the tests read this list; there is no other.
import { CLOUDANT_ENDPOINTS } from './catalogue-cloudant.ts';
import { DATABASE_ENDPOINTS } from './catalogue-database.ts';
import { DESIGN_ENDPOINTS } from './catalogue-design.ts';
import { DOCUMENT_ENDPOINTS } from './catalogue-document.ts';
import { PARTITION_ENDPOINTS } from './catalogue-partition.ts';
import { SERVER_ENDPOINTS } from './catalogue-server.ts';
import { SYSTEM_ENDPOINTS } from './catalogue-system.ts';
import { type Endpoint } from './endpoint.ts';

export const ENDPOINTS: readonly Endpoint[] = Object.freeze([
  ...SERVER_ENDPOINTS,
  ...SYSTEM_ENDPOINTS,
  ...DATABASE_ENDPOINTS,
  ...PARTITION_ENDPOINTS,
  ...DESIGN_ENDPOINTS,
  ...DOCUMENT_ENDPOINTS,
  ...CLOUDANT_ENDPOINTS,
]);

const BY_ID = new Map(ENDPOINTS.map((endpoint) => [endpoint.id, endpoint]));
if (BY_ID.size !== ENDPOINTS.length) throw new Error('two rows of the catalogue have the same id');

/** The row of that id. Throws when there is none: ids are written in code, never taken from a request. */
export function endpoint(id: string): Endpoint {
  const found = BY_ID.get(id);
  if (found === undefined) throw new Error(`there is no endpoint ${id}`);
  return found;
}
