// Every row of the catalogue, spelled as requests, for every kind of caller: test/matrix/expected.md, cell by cell, over sockets.
import assert from 'node:assert/strict';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { parseTarget } from '../../src/admit/target.ts';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { markersOf } from '../../src/principal/marker.ts';
import {
  CALLER_HEADER,
  EXCHANGE_HEADER,
  rolesNamed,
  startPolicyFront,
  type PolicyFront,
} from '../support/policy-front.ts';
import { readTable, spelled, type Line } from './table.ts';

const LINES = readTable();
/** Every OPTIONS of the table is a preflight of this page; any other is one more wrong method. */
const ORIGIN = 'https://app.example.com';

describe('the matrix of rows and callers', () => {
  let front: PolicyFront;
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  let exchanges = 0;

  before(async () => {
    front = await startPolicyFront({ corsOrigin: ORIGIN });
    await recordGrants(front);
  });
  after(async () => {
    agent.destroy();
    await front.close();
  });

  async function ask(request: string, caller: string) {
    const { method, target, destination, body, type } = spelled(request);
    const exchange = `cell-${++exchanges}`;
    const headers: Record<string, string> = { [EXCHANGE_HEADER]: exchange };
    if (caller !== 'nobody') headers[CALLER_HEADER] = caller;
    if (destination !== undefined) headers['destination'] = destination;
    if (type !== undefined) headers['content-type'] = type;
    if (method === 'OPTIONS')
      Object.assign(headers, { origin: ORIGIN, 'access-control-request-method': 'GET' });
    const { status, answer } = await new Promise<{ status: number; answer: string }>((resolve, reject) => {
      const req = http.request({ port: front.port, method, path: target, headers, agent }, (res) => {
        text(res).then((whole) => resolve({ status: res.statusCode ?? 0, answer: whole }), reject);
      });
      req.once('error', reject);
      req.end(body);
    });
    return { exchange, status, answer, reached: front.reached(exchange) };
  }

  async function hold({ row, request }: Line, caller: string, cell: string): Promise<void> {
    const where = `${row}: ${request} as ${caller}`;
    const { exchange, status, answer, reached } = await ask(request, caller);
    const { method, target } = spelled(request);
    if (cell.startsWith('here')) {
      const expected = cell === 'here' ? [200, 201, 204] : [Number(cell.slice('here '.length))];
      assert.ok(expected.includes(status), `${where}: ${status} ${answer}`);
      assert.deepEqual(reached, [], where);
      assert.equal((await front.lineOf(exchange))['decision'], 'allow', where);
    } else if (/^\d+$/.test(cell)) {
      assert.deepEqual([status, reached.length], [Number(cell), 0], where);
      if (method !== 'HEAD')
        assert.deepEqual(Object.keys(JSON.parse(answer) as object), ['error', 'reason'], where);
    } else {
      assert.deepEqual([status, reached.length], [200, 1], where);
      const { path, query } = parseTarget(target, { maxUrlBytes: 4096 });
      assert.deepEqual([reached[0]?.method, reached[0]?.url], [method, path + query], where);
      const [, first = ''] = path.split('/');
      // The grants of `_replicator` decide about `_replicate`, which has no database of its own.
      const database = first === '_replicate' ? '_replicator' : decodeURIComponent(first);
      assert.equal(privilegeOf(reached[0]?.claims?.roles, database), cell, where);
    }
    if (caller === 'owner') await assertRow(exchange, row, where);
  }

  /** The row that was applied, or that refused; where the body decides, the row whose turn it was for the owner. */
  async function assertRow(exchange: string, row: string, where: string): Promise<void> {
    const line = await front.lineOf(exchange);
    // A preflight is answered before the row is looked for.
    const applied = line['rule'] === 'preflight' ? 'options-preflight' : line['operation'];
    const ofOwner: Readonly<Record<string, string>> = {
      // They are for users and for nobody, and closed without their settings.
      'users-own-read': 'users-any',
      'users-own-write': 'users-any',
      'users-sign-up': 'users-any',
      'bulk-docs-design-only': 'bulk-docs-design-holder',
      'bulk-docs-local-only':
        row === 'bulk-docs-local-only' && where.includes('_design/')
          ? 'bulk-docs-design-holder'
          : 'bulk-docs',
    };
    assert.equal(applied, ofOwner[row] ?? row, where);
  }

  for (const line of LINES) {
    it(`${line.row} – ${line.request}`, async () => {
      await Promise.all([...line.cells].map(([caller, cell]) => hold(line, caller, cell)));
    });
  }

  it('has a request for every row of the catalogue, and no other', () => {
    const rows = new Set(LINES.map(({ row }) => row));
    assert.deepEqual([...rows].sort(), ENDPOINTS.map(({ id }) => id).sort());
  });

  it('leaves nothing that had to be answered by a 500', () => assert.deepEqual(front.failures, []));
});

/** Questions about permissions need the grants of `asked` in the index: a record that a change has written. */
async function recordGrants({ url }: PolicyFront): Promise<void> {
  const callers = [...(LINES[0]?.cells.keys() ?? [])].filter(
    (caller) => !/^(nobody|user|owner|monitor)$/.test(caller),
  );
  const cloudant = Object.fromEntries(callers.map((caller) => [caller, rolesNamed(caller)]));
  const answer = await fetch(`${url}/asked/_security`, {
    method: 'PUT',
    headers: { [CALLER_HEADER]: 'owner' },
    body: JSON.stringify({ cloudant }),
  });
  assert.equal(answer.status, 200, await answer.text());
}

/** The privilege that a token's roles concede on `database`, by its own markers. */
function privilegeOf(roles: readonly string[] | undefined, database: string): string {
  if (roles === undefined) return 'none';
  if (roles.includes('_admin')) return 'server';
  if (roles.includes('_metrics')) return 'metrics';
  const { member, dbadmin } = markersOf(database);
  if (roles.includes(dbadmin)) return 'dbadmin';
  return roles.includes(member) ? 'member' : `nothing of ${roles.join(' ')}`;
}
