// What the leaves of a permission record say together.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type JsonObject } from '../../src/json/object.ts';
import { recordOf, type RawLeaf, withdrawnDocumentOf } from '../../src/permissions/record-leaves.ts';
import { documentOf, type RecordState } from '../../src/permissions/record-document.ts';

const roles = (grants: Readonly<Record<string, readonly string[]>>): JsonObject => ({ cloudant: grants });
const BOTH = roles({ ann: ['_reader'], bob: ['_reader'] });
const ANN = roles({ ann: ['_reader'] });
const BOB = roles({ bob: ['_reader'] });
const DELEGATED = { couchdb_auth_only: true, members: { names: ['ann'] }, admins: {}, ...BOTH };

function leaf(rev: string, revision: number, state: Partial<RecordState>): RawLeaf {
  return { ...documentOf(stateOf(rev, revision, state)), _id: 'permissions:db', _rev: rev };
}

function withdrawn(rev: string, revision: number, security: JsonObject): RawLeaf {
  const state = stateOf(rev, revision, { security });
  return { ...withdrawnDocumentOf(state), _id: 'permissions:db', _rev: rev };
}

function stateOf(rev: string, revision: number, state: Partial<RecordState>): RecordState {
  return {
    ...{ revision, generation: { id: 'a', start: '1' }, state: 'done', stamp: revision, mirrored: true },
    ...{ security: {}, before: undefined, recent: [{ id: rev, revision }], by: 'x', via: 'api', at: '' },
    ...{ reason: undefined, requestId: undefined },
    ...state,
  };
}

interface Row {
  readonly title: string;
  readonly leaves: readonly RawLeaf[];
  readonly inForce: JsonObject;
  readonly isAtRest: boolean;
}

const ROWS: readonly Row[] = [
  { title: 'one leaf', leaves: [leaf('2-a', 1, { security: ANN })], inForce: ANN, isAtRest: true },
  {
    title: 'a change that is not acknowledged: what is granted before and after it',
    leaves: [leaf('2-a', 2, { state: 'writing', before: BOTH, security: ANN })],
    inForce: ANN,
    isAtRest: false,
  },
  {
    title: 'a grant that is not acknowledged',
    leaves: [leaf('2-a', 2, { state: 'writing', before: ANN, security: BOTH })],
    inForce: ANN,
    isAtRest: false,
  },
  {
    title: 'two leaves of one revision: only what both grant, whichever CouchDB chose',
    leaves: [leaf('2-b', 2, { security: ANN }), leaf('2-a', 2, { security: BOB })],
    inForce: roles({}),
    isAtRest: false,
  },
  {
    title: 'an older leaf beside a newer one',
    leaves: [leaf('4-a', 3, { security: BOTH }), leaf('3-a', 2, { security: ANN })],
    inForce: ANN,
    isAtRest: false,
  },
  {
    title: 'a delegation to CouchDB beside grants: only the owner gets in',
    leaves: [leaf('2-b', 2, { security: DELEGATED }), leaf('2-a', 2, { security: ANN })],
    inForce: { members: { names: ['ann'] }, admins: {}, cloudant: {} },
    isAtRest: false,
  },
  {
    title: 'a change of the delegation that is not acknowledged',
    leaves: [leaf('2-a', 2, { state: 'writing', before: ANN, security: DELEGATED })],
    inForce: { members: { names: ['ann'] }, admins: {}, cloudant: {} },
    isAtRest: false,
  },
  {
    title: 'a deleted leaf beside a live one',
    leaves: [{ ...leaf('3-b', 3, { security: BOTH }), _deleted: true }, leaf('2-a', 2, { security: ANN })],
    inForce: ANN,
    isAtRest: true,
  },
  {
    title: 'a withdrawn leaf beside a later change',
    leaves: [withdrawn('3-b', 1, BOB), leaf('2-a', 2, { security: ANN })],
    inForce: ANN,
    isAtRest: true,
  },
  {
    title: 'withdrawn leaves alone: what their writers had read, the newest',
    leaves: [withdrawn('5-b', 3, ANN), withdrawn('5-a', 3, ANN), withdrawn('3-a', 1, BOTH)],
    inForce: ANN,
    isAtRest: true,
  },
  {
    title:
      'an old leaf beside a withdrawn one of a later state: a grant that was revoked since stays revoked',
    leaves: [withdrawn('9-b', 7, BOB), leaf('4-a', 3, { security: BOTH })],
    inForce: BOB,
    isAtRest: false,
  },
  {
    title: 'a change without the state before it',
    leaves: [leaf('2-a', 2, { state: 'writing', security: ANN })],
    inForce: roles({}),
    isAtRest: false,
  },
  {
    title: 'a document that is damaged',
    leaves: [{ _id: 'permissions:db', _rev: '1-a', grants: { ann: ['_reader'] } }],
    inForce: roles({}),
    isAtRest: false,
  },
];

describe('the leaves of a permission record', () => {
  for (const { title, leaves, inForce, isAtRest } of ROWS)
    it(`permit only what all of them do – ${title}`, () => {
      for (const order of [leaves, leaves.toReversed()]) {
        const record = recordOf(order);
        assert.deepEqual(record?.state.security, inForce);
        assert.equal(record.isAtRest, isAtRest);
      }
    });

  it('are no record if nothing is left', () => {
    assert.equal(recordOf([]), undefined);
    assert.equal(recordOf([{ _id: 'permissions:db', _rev: '2-a', _deleted: true }]), undefined);
  });
});
