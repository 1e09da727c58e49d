// Runs attacks over raw sockets, against a recording upstream and, with COUCHDB_HOME, a real CouchDB.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openAdmin, type Admin } from '../../src/setup/admin.ts';
import { markersOf } from '../../src/principal/marker.ts';
import { startBackend, type Backend } from './backend.ts';
import { withoutCouchdb } from './cluster.ts';
import { CALLER_HEADER, EXCHANGE_HEADER, startPolicyFront } from './policy-front.ts';
import { type PolicyFront, type PolicyFrontSetup, type Reached } from './policy-front.ts';
import { exchangeBytes } from './raw-http.ts';

export interface Attack {
  /** For example `GET /db/doc`; sent byte for byte. */
  readonly line: string;
  /** A caller as in CALLER_HEADER; without it, a request without credentials. */
  readonly as?: string;
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
}

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  readonly reached: readonly Reached[];
}

export interface Gate {
  readonly front: PolicyFront;
  /** Undefined if the upstream is the recording one. */
  readonly couchdb: Admin | undefined;
  send(attack: Attack): Promise<Answer>;
}

let exchanges = 0;

async function send(front: PolicyFront, attack: Attack): Promise<Answer> {
  const exchange = `attack-${++exchanges}`;
  const { body = '' } = attack;
  const names = (attack.headers ?? []).map((header) => header.slice(0, header.indexOf(':')).toLowerCase());
  const framed = names.includes('content-length') || names.includes('transfer-encoding');
  const head = [
    `${attack.line} HTTP/1.1`,
    ...(names.includes('host') ? [] : ['Host: couchgate.example']),
    ...(names.includes('connection') ? [] : ['Connection: close']),
    `${EXCHANGE_HEADER}: ${exchange}`,
    ...(attack.as === undefined ? [] : [`${CALLER_HEADER}: ${attack.as}`]),
    ...(attack.headers ?? []),
    ...(framed || body.length === 0 ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  const bytes = Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
  const answer = await exchangeBytes(front.url, bytes.toString('latin1'));
  const split = answer.indexOf('\r\n\r\n');
  return {
    status: Number(answer.split(' ')[1] ?? 0),
    head: answer.slice(0, split),
    body: answer.slice(split + 4),
    reached: front.reached(exchange),
  };
}

/**
 * Describes a suite that runs twice: in front of the recording upstream, and of a real single-node CouchDB.
 * `prepare` creates what the attacks need in CouchDB; the databases in `databases` exist and have markers.
 */
export function describeHostile(
  title: string,
  options: {
    readonly databases?: readonly string[];
    readonly setup?: PolicyFrontSetup;
    readonly prepare?: (couchdb: Admin) => Promise<void>;
  },
  suite: (gate: Gate) => void,
): void {
  describe(`${title}, with a recording upstream`, () => suite(gateOf(() => startPolicyFront(options.setup))));
  describe(`${title}, with CouchDB`, { skip: withoutCouchdb }, () => {
    let backend: Backend;
    suite(
      gateOf(
        async () => {
          backend = await startBackend();
          const { jwtSecretBase64, kid, owner } = backend;
          const url = backend.urls[0] ?? '';
          const couchdb = openAdmin({ url, credentials: owner });
          for (const name of options.databases ?? []) await createDatabase(couchdb, name);
          await options.prepare?.(couchdb);
          return startPolicyFront({ ...options.setup, couchdb: { url, jwtSecretBase64, kid } });
        },
        () => openAdmin({ url: backend.urls[0] ?? '', credentials: backend.owner }),
        () => backend.close(),
      ),
    );
  });
}

/** The gate of the current suite; it is open while its tests run. */
function gateOf(start: () => Promise<PolicyFront>, couchdb?: () => Admin, close?: () => Promise<void>): Gate {
  let front: PolicyFront | undefined;
  let admin: Admin | undefined;
  const open = (): PolicyFront => {
    if (front === undefined) throw new Error('the gate is used before the suite runs');
    return front;
  };
  before(async () => {
    front = await start();
    admin = couchdb?.();
  });
  after(async () => {
    await front?.close();
    await close?.();
  });
  return {
    get front() {
      return open();
    },
    get couchdb() {
      return admin;
    },
    send: (attack) => send(open(), attack),
  };
}

async function createDatabase(couchdb: Admin, name: string): Promise<void> {
  const path = `/${encodeURIComponent(name)}`;
  const { member, dbadmin } = markersOf(name);
  await couchdb.ask('PUT', `${path}?q=1`);
  await couchdb.ask('PUT', `${path}/_security`, {
    members: { roles: [member] },
    admins: { roles: [dbadmin] },
  });
}

/** Asserts a refusal in CouchDB's shape, and that CouchDB was not called. */
export function assertRefused(answer: Answer, statuses: number | readonly number[], what: string): void {
  const status = [statuses].flat().includes(answer.status) ? answer.status : statuses;
  assert.deepEqual(
    [answer.status, answer.reached.map(({ method, url }) => `${method} ${url}`)],
    [status, []],
    what,
  );
  const body = JSON.parse(answer.body) as Readonly<Record<string, unknown>>;
  assert.deepEqual(Object.keys(body), ['error', 'reason'], what);
}

/**
 * Statuses of a refusal whose caller holds a right on the database: 403 for what is closed, or CouchDB's own
 * for what looks like a mistake. Held by test/conformance/refusals.test.ts.
 */
export const CLOSED_OR_MISTAKEN: readonly number[] = [400, 403, 404, 405];

/** Adds one test per attack: it is refused, and nothing of it reached CouchDB. */
export function refuseAll(gate: Gate, status: number | readonly number[], attacks: readonly Attack[]): void {
  for (const attack of attacks) {
    const what = `${attack.line} as ${attack.as ?? 'nobody'}`;
    it(`refuses ${JSON.stringify(what)} – ${String(status)}, CouchDB is not called`, async () => {
      assertRefused(await gate.send(attack), status, what);
    });
  }
}
