// Records what the CouchDB of COUCHDB_HOME answers: `npx tsx test/conformance/refusals/record.ts`.
import { startBackend } from '../../support/backend.ts';
import { askDirectly } from './direct.ts';
import { callerOf, mistakesOf, refusedByGate, startGate } from './gate.ts';
import { writeRecorded } from './recorded.ts';
import { comparedRequests, lineOf } from './requests.ts';

const requests = comparedRequests();
const gate = await startGate();
const mistakes = mistakesOf(await refusedByGate(gate, callerOf('owner')));
await gate.close();
const backend = await startBackend();
if (backend.kind !== 'couchdb') throw new Error('set COUCHDB_HOME: only a real CouchDB is recorded');
writeRecorded({
  member: await askDirectly(backend, 'member', requests),
  dbadmin: await askDirectly(backend, 'dbadmin', requests),
  owner: await askDirectly(
    backend,
    'owner',
    requests.filter((asked) => mistakes.has(lineOf(asked))),
  ),
});
await backend.close();
