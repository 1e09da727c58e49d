// H19: a role is taken away from a request that waits or runs, and what is left permits it with less. CouchDB must
// not get the token of before: with the marker of admins, an update function writes design documents.
import assert from 'node:assert/strict';
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { createStillPermitted } from '../../src/authorize/still-permitted.ts';
import { endpoint, type EndpointId } from '../../src/catalogue/catalogue.ts';
import { RightsReduced, Unavailable } from '../../src/http-errors.ts';
import { NO_PREFIX_ACCESS } from '../../src/permissions/prefix-grants.ts';
import { roleSet, type Role } from '../../src/permissions/role.ts';
import { type Principal } from '../../src/principal/principal.ts';
import { startForwarding } from '../support/forwarding.ts';
import { CALLER_HEADER, startPolicyFront } from '../support/policy-front.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

const statusOf = (client: RawClient): string | undefined => /HTTP\/1\.1 (\d+)/.exec(client.received)?.[1];

describe('a write whose caller loses _admin and keeps _writer', () => {
  it('is cut while its body arrives, and refused while it waits – PUT /db/doc/a, PUT /other/doc – 503', async () => {
    const grants = new Map([['writer+admin', roleSet(['_writer', '_admin'])]]);
    const front = await startPolicyFront({
      couchdbConnections: 1,
      permissions: (database) => ({ database, grants, couchdbAuthOnly: false, marked: true }),
    });
    try {
      const begin = async (line: string, type: string): Promise<RawClient> => {
        const client = await connectRaw(front.port);
        const fields = ['Host: x', `${CALLER_HEADER}: writer+admin`, `Content-Type: ${type}`];
        client.send(head(`${line} HTTP/1.1`, ...fields, 'Content-Length: 2') + '{');
        return client;
      };
      const streamed = await begin('PUT /db/doc/a', 'text/plain');
      const queued = await begin('PUT /other/doc', 'application/json');
      queued.send('}');
      const decisions = (): number => front.asked.filter((database) => database === 'other').length;
      await until(
        () => decisions() >= 3,
        'it was decided, after its body too, and is watched while it waits',
      );
      grants.set('writer+admin', roleSet(['_writer']));
      await until(() => streamed.closed && statusOf(queued) !== undefined, 'both end');
      assert.equal(streamed.received, '');
      assert.equal(statusOf(queued), '503');
      assert.deepEqual(front.takeAll(), [], 'CouchDB got no complete request');
    } finally {
      await front.close();
    }
  });

  it('is not sent when only the decision after the wait sees it – GET /db/doc – 503', async () => {
    const asked: string[] = [];
    const handler = (req: IncomingMessage, res: ServerResponse): void => {
      asked.push(req.url ?? '');
      if (asked.length > 1) res.end('{}');
      else req.socket.destroy();
    };
    const upstreams = [await startUpstream(handler), await startUpstream(handler)];
    const front = await startForwarding({
      upstreams,
      judge: () => ({ privilege: 'dbadmin', roles: 5 }),
      options: {
        isStillPermitted({ privilege, roles }) {
          assert.deepEqual([privilege, roles], ['dbadmin', 5]);
          throw new RightsReduced();
        },
      },
    });
    try {
      const answer = await fetch(`${front.url}/db/doc`);
      assert.equal(answer.status, 503);
      assert.equal(answer.headers.get('retry-after'), '1');
      assert.deepEqual(asked, ['/db/doc']);
    } finally {
      await front.close();
      await Promise.all(upstreams.map((upstream) => upstream.close()));
    }
  });
});

describe('the decision about a request that runs', () => {
  const KEY: Principal = { kind: 'key', name: 'k' };
  const OWNER: Principal = { kind: 'owner', name: 'o', roles: [] };
  const CASES: readonly (readonly [
    what: string,
    id: EndpointId,
    then: readonly Role[],
    now: readonly Role[],
    verdict: boolean | 'less',
  ])[] = [
    ['a write without _admin', 'doc-put', ['_writer', '_admin'], ['_writer'], 'less'],
    ['an update function without _reader', 'update-doc', ['_reader', '_writer'], ['_writer'], false],
    [
      'an update function without _design',
      'update-doc',
      ['_reader', '_writer', '_design'],
      ['_reader', '_writer'],
      'less',
    ],
    ['a feed, whose filter sees the roles', 'changes', ['_reader', '_writer'], ['_reader'], 'less'],
    ['a read, which depends on no other role', 'all-docs', ['_reader', '_writer'], ['_reader'], true],
    ['a write with one more role', 'doc-put', ['_writer'], ['_writer', '_admin'], true],
    ['a write without _writer', 'doc-put', ['_writer', '_reader'], ['_reader'], false],
  ];
  for (const [what, id, then, now, verdict] of CASES)
    it(`is ${verdict} for ${what}`, async () => {
      const decided = ask(KEY, id, then, now);
      if (verdict === 'less') await assert.rejects(decided, RightsReduced);
      else assert.equal(await decided, verdict);
    });

  it('is true for the owner of a database that gets its markers', async () => {
    assert.equal(await ask(OWNER, 'all-docs', [], [], 'server_admin'), true);
  });

  it('is unknown for a write while prefix grants cannot be read: they may have given its roles', async () => {
    const decided = ask(KEY, 'doc-put', ['_writer', '_admin'], ['_writer'], 'dbadmin', false);
    await assert.rejects(
      decided,
      (error) => error instanceof Unavailable && !(error instanceof RightsReduced),
    );
  });

  function ask(
    principal: Principal,
    id: EndpointId,
    then: readonly Role[],
    now: readonly Role[],
    privilege: 'dbadmin' | 'member' | 'server_admin' = then.includes('_admin') ? 'dbadmin' : 'member',
    areGrantsKnown = true,
  ): Promise<boolean> {
    const grants = new Map([['k', roleSet(now)]]);
    const isStillPermitted = createStillPermitted({
      keys: { holds: () => true },
      sessions: { isEnded: () => false },
      userChanges: { hasChanged: () => false },
      permissions: {
        permissionsOf: (database) => ({ database, grants, couchdbAuthOnly: false, marked: true }),
      },
      grants: {
        prefixGrants: { accessOf: () => (areGrantsKnown ? NO_PREFIX_ACCESS : undefined) },
        serverGrants: { isMonitor: () => false },
      },
    });
    return isStillPermitted({
      principal,
      database: 'db',
      sessionId: undefined,
      keyVersion: undefined,
      userChanges: undefined,
      endpoint: endpoint(id),
      identity: 'marker',
      privilege,
      roles: roleSet(then),
    });
  }
});
