// What is wrong with a request is said in CouchDB's words: every path and method of the catalogue and beyond, as member, as database admin and
// as server admin. CouchDB's answers are recorded (refusals/record.ts); with COUCHDB_HOME a real CouchDB is asked as well.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { withoutCouchdb } from '../support/cluster.ts';
import { basic, type Couchgate, startCouchgate } from '../support/couchgate.ts';
import { type PolicyFront, rolesNamed } from '../support/policy-front.ts';
import {
  answersTo,
  type Answered,
  CALLERS,
  type CallerKind,
  type Databases,
  prepareDocuments,
} from './refusals/answers.ts';
import { DIFFERENCES, type Difference, explanationOf } from './refusals/differences.ts';
import { askDirectly } from './refusals/direct.ts';
import { callerOf, mistakesOf, refusedByGate, startGate } from './refusals/gate.ts';
import { readRecorded } from './refusals/recorded.ts';
import { comparedRequests, lineOf } from './refusals/requests.ts';

const RECORDED = readRecorded();
const KINDS = Object.keys(CALLERS) as readonly CallerKind[];

interface Found {
  /** `line: CouchDB's answer, Couchgate's answer`. */
  readonly unexplained: readonly string[];
  readonly used: ReadonlySet<Difference>;
}

function compare(couchdb: ReadonlyMap<string, Answered>, couchgate: ReadonlyMap<string, Answered>): Found {
  const unexplained: string[] = [];
  const used = new Set<Difference>();
  for (const [line, answer] of couchgate) {
    const wanted = couchdb.get(line);
    if (wanted === undefined) continue;
    if (JSON.stringify(wanted) === JSON.stringify(answer)) continue;
    const difference = explanationOf(line, wanted, answer);
    if (difference === undefined)
      unexplained.push(`${line}: ${JSON.stringify(wanted)}, ${JSON.stringify(answer)}`);
    else used.add(difference);
  }
  return { unexplained, used };
}

describe('refusals of mistakes', () => {
  let front: PolicyFront;
  const used = new Set<Difference>();

  before(async () => {
    front = await startGate();
  });
  after(() => front.close());

  for (const kind of KINDS) {
    it(`are those of CouchDB for a ${kind}, but for the listed differences – every path × method`, async () => {
      const refused = await refusedByGate(front, callerOf(kind));
      const found = compare(RECORDED[kind], refused);
      for (const difference of found.used) used.add(difference);
      assert.deepEqual(found.unexplained, []);
      const told = kind === 'owner' ? mistakesOf(refused) : new Set(refused.keys());
      assert.deepEqual(
        [...told].filter((line) => !RECORDED[kind].has(line)),
        [],
        'not recorded',
      );
    });
  }

  it('has no difference listed that does not occur', () => {
    assert.deepEqual(
      DIFFERENCES.filter((difference) => !used.has(difference) && difference.forwarded !== true),
      [],
    );
  });

  for (const caller of [undefined, 'user']) {
    const status = caller === undefined ? 401 : 403;
    it(`look like what is closed to ${caller ?? 'nobody'} – ${status} on every path of a database`, async () => {
      const refused = await refusedByGate(front, caller);
      const others = [...refused].filter(([line, answer]) => / \/%/u.test(line) && answer.status !== status);
      assert.deepEqual(others, []);
    });
  }
});

describe('refusals of a real CouchDB', { skip: withoutCouchdb, timeout: 300_000 }, () => {
  let couchgate: Couchgate;

  before(async () => {
    couchgate = await startCouchgate();
  });
  after(() => couchgate.close());

  for (const kind of KINDS) {
    it(`are those of Couchgate in front of it, but for the listed differences – as ${kind}`, async () => {
      const requests = comparedRequests().filter((asked) => RECORDED[kind].has(lineOf(asked)));
      const direct = await askDirectly(couchgate.backend, kind, requests);
      assert.deepEqual([...direct], [...RECORDED[kind]].sort(inOrderOf(direct)), 'run refusals/record.ts');
      const through = await answersTo(await asker(kind), requests, databasesOf(kind));
      assert.deepEqual(compare(direct, through).unexplained, []);
    });
  }

  async function asker(kind: CallerKind): Promise<{ url: string; headers: Record<string, string> }> {
    const databases = databasesOf(kind);
    const as = couchgate.owner;
    const key = kind === 'owner' ? as : await couchgate.key();
    const grants = kind === 'owner' ? {} : { [key.name]: rolesNamed(CALLERS[kind]) };
    await couchgate.database(databases.plain, grants);
    const made = await couchgate.ask('PUT', `/${databases.partitioned}?partitioned=true`, { as });
    assert.equal(made.status, 201);
    await couchgate.grant(databases.partitioned, grants);
    await prepareDocuments((path, body) => couchgate.ask('PUT', path, { as, body }), databases);
    return { url: couchgate.url, headers: { authorization: basic(key) } };
  }
});

function databasesOf(kind: CallerKind): Databases {
  return { plain: `through-${kind}`, partitioned: `through-${kind}-part` };
}

/** The recording groups by answer, so its order is another one. */
function inOrderOf(answers: ReadonlyMap<string, Answered>) {
  const places = new Map([...answers.keys()].map((line, index) => [line, index]));
  return ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
    (places.get(a) ?? 0) - (places.get(b) ?? 0);
}
