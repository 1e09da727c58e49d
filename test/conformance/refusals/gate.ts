// Asks Couchgate alone which requests it refuses by itself, and how: CouchDB behind it says yes to everything.
import http from 'node:http';
import { roleSet } from '../../../src/permissions/role.ts';
import {
  CALLER_HEADER,
  EXCHANGE_HEADER,
  type PolicyFront,
  rolesNamed,
  startPolicyFront,
} from '../../support/policy-front.ts';
import { answerTo, CALLERS, type Answered, type CallerKind, type Databases } from './answers.ts';
import { comparedRequests, lineOf } from './requests.ts';

export const GATE_DATABASES: Databases = { plain: 'plain', partitioned: 'partitioned' };

/** Every caller holds the roles that its name says, on the two databases alone. */
export function startGate(): Promise<PolicyFront> {
  const names = Object.values(CALLERS).filter((name) => name !== 'owner');
  const grants = new Map(names.map((name) => [name as string, roleSet(rolesNamed(name))]));
  const known = new Set(Object.values(GATE_DATABASES) as readonly string[]);
  return startPolicyFront({
    permissions: (database) =>
      database === 'nosuch'
        ? undefined
        : {
            database,
            grants: known.has(database) ? grants : new Map(),
            couchdbAuthOnly: false,
            marked: true,
          },
  });
}

/** The answers to the requests that do not reach CouchDB. */
export async function refusedByGate(
  front: PolicyFront,
  caller: string | undefined,
): Promise<ReadonlyMap<string, Answered>> {
  const name = (caller ?? 'nobody').replaceAll('+', '_');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const answers = await Promise.all(
    comparedRequests().map(async (asked, index) => {
      const exchange = `${name}-${index}`;
      const headers = {
        [EXCHANGE_HEADER]: exchange,
        ...(caller === undefined ? {} : { [CALLER_HEADER]: caller }),
      };
      const answer = await answerTo({ url: front.url, headers, agent }, asked, GATE_DATABASES);
      return [exchange, lineOf(asked), answer] as const;
    }),
  );
  agent.destroy();
  const forwarded = new Set(front.takeAll().map(({ headers }) => headers['x-couch-request-id']));
  return new Map(
    answers.filter(([exchange]) => !forwarded.has(exchange)).map(([, line, answer]) => [line, answer]),
  );
}

/** What CouchDB is asked as server admin: mistakes, and nothing that Couchgate permits or closes on purpose. */
export function mistakesOf(refused: ReadonlyMap<string, Answered>): ReadonlySet<string> {
  return new Set(
    [...refused].filter(([, { status }]) => status !== 403 && status >= 400).map(([line]) => line),
  );
}

export function callerOf(kind: CallerKind): string {
  return CALLERS[kind];
}
