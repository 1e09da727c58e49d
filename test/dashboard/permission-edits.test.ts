// The edits of a permission page: what saving them would write, and how they are carried over to what somebody else has saved.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  accessIn,
  applied,
  type Edits,
  hasEdits,
  idOf,
  NO_EDITS,
  rebase,
  resolve,
  rolesIn,
  setCouchRules,
  setRoles,
  tidied,
  type SecurityDocument,
} from '../../src/dashboard/permission-edits.ts';

const BASE: SecurityDocument = {
  _id: '_security',
  cloudant: { nobody: ['_reader'], key: ['_writer', '_reader'], alice: ['_security'] },
};

function edited(document: SecurityDocument, changes: Readonly<Record<string, readonly string[]>>): Edits {
  return Object.entries(changes).reduce(
    (edits, [name, roles]) => setRoles(document, edits, name, roles),
    NO_EDITS,
  );
}

describe('edits of permissions', () => {
  it('write the rows that were changed, and leave every other field as it was', () => {
    const document = { ...BASE, extra: { kept: true } };
    const edits = edited(document, { nobody: [], key: ['_reader'], new: ['_writer'] });
    assert.deepEqual(applied(document, edits), {
      cloudant: { key: ['_reader'], alice: ['_security'], new: ['_writer'] },
      extra: { kept: true },
    });
  });

  it('end when a row is set back to what it was, in whatever order', () => {
    const edits = setRoles(BASE, edited(BASE, { key: ['_reader'] }), 'key', ['_writer', '_reader']);
    assert.equal(hasEdits(edits), false);
  });

  it('take a name for a name, also __proto__ and constructor', () => {
    const document = JSON.parse('{"cloudant":{"__proto__":["_reader"]}}') as SecurityDocument;
    assert.deepEqual(rolesIn(document, '__proto__'), ['_reader']);
    assert.deepEqual(rolesIn(document, 'constructor'), []);
    const edits = edited(document, { constructor: ['_writer'] });
    assert.equal(
      JSON.stringify(applied(document, edits)),
      '{"cloudant":{"__proto__":["_reader"],"constructor":["_writer"]}}',
    );
  });

  it('keep both changes if each row was changed by one side', () => {
    const edits = edited(BASE, { key: [] });
    const theirs: SecurityDocument = { cloudant: { ...BASE.cloudant, bob: ['_reader'] } };
    const { edits: mine, conflicts } = rebase(edits, theirs);
    assert.deepEqual(conflicts, []);
    assert.deepEqual(applied(theirs, mine).cloudant, {
      nobody: ['_reader'],
      alice: ['_security'],
      bob: ['_reader'],
    });
  });

  it('show theirs beside mine if both changed a row, and take the side that is chosen', () => {
    const edits = edited(BASE, { nobody: [], key: ['_reader'] });
    const theirs: SecurityDocument = {
      cloudant: { nobody: ['_reader', '_writer'], key: ['_admin'], alice: ['_security'] },
    };
    const { edits: mine, conflicts } = rebase(edits, theirs);
    assert.deepEqual(conflicts, [
      { kind: 'grants', name: 'nobody', theirs: ['_reader', '_writer'], mine: [] },
      { kind: 'grants', name: 'key', theirs: ['_admin'], mine: ['_reader'] },
    ]);
    const settled = resolve(
      mine,
      conflicts,
      (conflict) => conflict.kind === 'grants' && conflict.name === 'nobody',
    );
    assert.deepEqual(applied(theirs, settled).cloudant, { key: ['_admin'], alice: ['_security'] });
  });

  it('stay in conflict until somebody chooses, also if the other side saves another row or that row again', () => {
    const couch = { isOn: true, members: undefined, admins: undefined };
    const begun = setCouchRules(BASE, edited(BASE, { key: ['_reader'] }), couch);
    const first = rebase(begun, { cloudant: { key: ['_admin'] }, members: { names: ['a'] } });
    for (const key of [['_admin'], ['_creator']]) {
      const now = { cloudant: { key, bob: ['_reader'] }, members: { names: ['a'] } };
      const { conflicts } = rebase(first.edits, now, first.conflicts);
      const members = { names: ['a'], roles: [] };
      assert.deepEqual(conflicts, [
        { kind: 'grants', name: 'key', theirs: key, mine: ['_reader'] },
        { kind: 'couch', theirs: { isOn: false, members, admins: undefined }, mine: couch },
      ]);
      const [before, after] = [first.conflicts, conflicts].map((list) => list.map(idOf));
      assert.equal(before?.[0] === after?.[0], key[0] === '_admin');
    }
    const same = rebase(
      first.edits,
      { cloudant: { key: ['_reader'] }, couchdb_auth_only: true },
      first.conflicts,
    );
    assert.deepEqual([hasEdits(same.edits), same.conflicts], [false, []]);
  });

  it('are over if the other side has saved the same', () => {
    const edits = edited(BASE, { nobody: [] });
    const theirs: SecurityDocument = { cloudant: { key: ['_reader', '_writer'], alice: ['_security'] } };
    const rebased = rebase(edits, theirs);
    assert.deepEqual([hasEdits(rebased.edits), rebased.conflicts], [false, []]);
  });

  it('never open a database by a list of blank lines', () => {
    const rules = { isOn: true, members: { names: ['', ' '], roles: [] }, admins: undefined };
    const edits = tidied(setCouchRules(BASE, NO_EDITS, rules));
    assert.equal(edits.couch?.after.members, undefined);
    const open = { isOn: true, members: { names: [], roles: [] }, admins: undefined };
    const chosen = tidied(setCouchRules(BASE, NO_EDITS, open));
    assert.deepEqual(applied(BASE, chosen).members, { names: [], roles: [] });
  });

  it('write nothing of a row that the person did not change, whatever the other side saved', () => {
    const roles = fc.subarray(['_reader', '_writer', '_admin', '_security']);
    const grants = fc.dictionary(fc.constantFrom('nobody', 'a', 'b', 'c', '__proto__'), roles);
    fc.assert(
      fc.property(grants, grants, grants, (before, theirs, wanted) => {
        const base = { cloudant: before };
        const now = { cloudant: theirs };
        const edits = edited(base, wanted);
        const { edits: mine, conflicts } = rebase(edits, now);
        const result = applied(
          now,
          resolve(mine, conflicts, () => true),
        );
        for (const name of ['nobody', 'a', 'b', 'c', '__proto__']) {
          const expected = edits.grants.get(name)?.after ?? rolesIn(now, name);
          assert.deepEqual(rolesIn(result, name), expected);
        }
      }),
    );
  });
});

describe('access in one glance', () => {
  const TABLE: readonly (readonly [SecurityDocument, ReturnType<typeof accessIn>])[] = [
    [{}, { kind: 'owner' }],
    [{ cloudant: { key: [] } }, { kind: 'owner' }],
    [{ cloudant: { key: ['_reader'] } }, { kind: 'names', names: ['key'] }],
    [BASE, { kind: 'public', roles: ['_reader'], names: ['key', 'alice'] }],
    [{ ...BASE, couchdb_auth_only: true }, { kind: 'couchdb' }],
  ];
  for (const [document, access] of TABLE)
    it(`is ${access.kind} – ${JSON.stringify(document)}`, () => assert.deepEqual(accessIn(document), access));
});
