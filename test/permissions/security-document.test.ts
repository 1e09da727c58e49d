// Pins what a client may put as a security object, what CouchDB then stores, what of it decides, and what is shown again.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BadRequest } from '../../src/http-errors.ts';
import { isMarker, markersOf } from '../../src/principal/marker.ts';
import { roleSet, rolesOf } from '../../src/permissions/role.ts';
import { permissionsIn, shownForm, versionOf, storedForm } from '../../src/permissions/security-document.ts';
import { parseSecurityPut } from '../../src/permissions/security-request.ts';

const DB = 'orders';
const { member, dbadmin } = markersOf(DB);
const store = (body: Record<string, unknown>) => storedForm(parseSecurityPut(body), DB, { stamp: 7 });

describe('a security object that is put', () => {
  const refused: readonly [string, Record<string, unknown>, RegExp][] = [
    ['a role that is not known', { cloudant: { alice: ['_reader', '_owner'] } }, /"_owner".*"alice"/],
    ['a role without its underscore', { cloudant: { alice: ['reader'] } }, /"reader"/],
    ['a role that is no text', { cloudant: { alice: [null] } }, /null.*"alice"/],
    ['a marker for a role', { cloudant: { alice: [member] } }, /couchgate-/],
    ['a marker for a name', { cloudant: { [member]: ['_reader'] } }, /cannot be a name/],
    ['roles that are no array', { cloudant: { alice: '_reader' } }, /"alice" must be an array/],
    ['an empty name', { cloudant: { '': ['_reader'] } }, /cannot be a name/],
    ['a name with a control character', { cloudant: { 'a\nb': ['_reader'] } }, /cannot be a name/],
    ['a name with a leading underscore', { cloudant: { _admin: ['_reader'] } }, /cannot be a name/],
    ['a cloudant that is an array', { cloudant: [] }, /`cloudant` must be an object/],
    ['a cloudant that is null', { cloudant: null }, /`cloudant` must be an object/],
    ['a couchdb_auth_only that is text', { couchdb_auth_only: 'false' }, /true or false/],
    ['a marker among the members', { members: { roles: [member] } }, /reserved.*members\.roles/],
    ["another database's marker", { admins: { roles: [markersOf('x').dbadmin] } }, /reserved/],
    ['a marker for an admin name', { admins: { names: [dbadmin] } }, /reserved.*admins\.names/],
    ['a Cloudant role among the members', { members: { roles: ['_reader'] } }, /reserved/],
    ['members that are an array', { members: [] }, /`members` must be an object/],
    ['names that are no array', { admins: { names: 'x' } }, /`admins\.names` must be an array/],
    ['names that are no text', { admins: { names: [1] } }, /`admins\.names` must be an array/],
    ['a field that is ours', { couchgate: { stamp: 9 } }, /reserved/],
  ];
  for (const [what, body, reason] of refused) {
    it(`is refused with ${what}`, () => {
      assert.throws(
        () => parseSecurityPut(body),
        (error) => error instanceof BadRequest && reason.test(error.reason),
      );
    });
  }

  it('is stored with the markers of its database, and nothing of the client is live', () => {
    const members = { names: ['bob'], roles: ['staff'] };
    const admins = { names: ['eve'], roles: ['_admin'] };
    assert.deepEqual(store({ cloudant: { alice: ['_reader', '_reader'] }, members, admins, colour: 'red' }), {
      colour: 'red',
      cloudant: { alice: ['_reader'] },
      members: { names: [], roles: [member] },
      admins: { names: [], roles: [dbadmin] },
      couchgate: { stamp: 7, members, admins },
    });
  });

  it('is stored with the lists of the client live under couchdb_auth_only, and without markers', () => {
    const members = { names: ['bob'], roles: [] };
    assert.deepEqual(store({ couchdb_auth_only: true, members }), {
      couchdb_auth_only: true,
      members,
      admins: { roles: ['_admin'] },
      couchgate: { stamp: 7 },
    });
  });

  for (const members of [undefined, {}, { colour: 'red' }]) {
    it(`is closed, not public, under couchdb_auth_only with members ${JSON.stringify(members)}`, () => {
      const stored = store({ couchdb_auth_only: true, ...(members === undefined ? {} : { members }) });
      assert.deepEqual((stored['members'] as { roles: unknown }).roles, ['_admin']);
    });
  }

  it('leaves a database public under couchdb_auth_only only when both lists are there and empty', () => {
    const members = { names: [], roles: [] };
    assert.deepEqual(store({ couchdb_auth_only: true, members })['members'], members);
  });

  it('keeps a name that JavaScript gives a meaning of its own', () => {
    const body = JSON.parse(
      '{"cloudant":{"toString":["_reader"],"constructor":["_writer"]},"__proto__":1}',
    ) as Record<string, unknown>;
    const text = JSON.stringify(store(body));
    const { grants } = permissionsIn(JSON.parse(text), DB);
    assert.deepEqual([...grants.keys()], ['toString', 'constructor']);
    assert.match(text, /"__proto__":1/);
  });
});

describe('a stored security object', () => {
  it('grants what its cloudant map says', () => {
    const found = permissionsIn(
      store({ cloudant: { alice: ['_reader', '_writer'], nobody: ['_reader'] } }),
      DB,
    );
    assert.deepEqual(rolesOf(found.grants.get('alice') ?? 0), ['_reader', '_writer']);
    assert.equal(found.grants.get('nobody'), roleSet(['_reader']));
    assert.equal(found.grants.get('bob'), undefined);
    assert.equal(found.marked, true);
    assert.equal(found.couchdbAuthOnly, false);
  });

  const closed: readonly [string, unknown][] = [
    ['nothing', {}],
    ['CouchDB’s own default', { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } }],
    ['no object', null],
    ['a cloudant map that is an array', { cloudant: [['alice', '_reader']] }],
    ['roles that are text', { cloudant: { alice: '_reader' } }],
    ['roles that are not known', { cloudant: { alice: ['_everything'] } }],
    ['an empty name', { cloudant: { '': ['_reader'] } }],
    ['a couchdb_auth_only that is not exactly true', { couchdb_auth_only: 'true', members: {}, admins: {} }],
    ['couchdb_auth_only with broken members', { couchdb_auth_only: true, members: [], admins: {} }],
    [
      'couchdb_auth_only with names that are text',
      { couchdb_auth_only: true, members: { names: 'a' }, admins: {} },
    ],
    ['couchdb_auth_only without lists', { couchdb_auth_only: true }],
  ];
  for (const [what, document] of closed) {
    it(`grants nothing to anybody with ${what}`, () => {
      const found = permissionsIn(document, DB);
      assert.deepEqual([...found.grants], []);
      assert.equal(found.couchdbAuthOnly, false);
      assert.equal(found.marked, false);
    });
  }

  it("is not marked by another database's markers, or by one of its own alone", () => {
    const other = storedForm(parseSecurityPut({}), 'other', { stamp: 1 });
    assert.equal(permissionsIn(other, DB).marked, false);
    const half = { ...store({}), admins: { roles: ['_admin'] } };
    assert.equal(permissionsIn(half, DB).marked, false);
  });

  it('is shown as the client put it, with its _id', () => {
    const body = {
      cloudant: { alice: ['_reader'] },
      members: { names: ['bob'] },
      couchdb_auth_only: false,
      colour: { deep: [1] },
    };
    assert.deepEqual(shownForm(store(body)), { ...body, _id: '_security' });
    assert.deepEqual(shownForm(store({})), {});
  });

  it('is shown as it is where Couchgate never wrote it', () => {
    const found = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
    assert.deepEqual(shownForm(found), { ...found, _id: '_security' });
  });

  it('says what it was stamped with, and 0 where that is missing or no number', () => {
    assert.equal(versionOf(store({})), 7);
    for (const couchgate of [undefined, {}, { stamp: '9' }, { stamp: 1.5 }, []]) {
      assert.equal(versionOf({ couchgate }), 0);
    }
  });
});

describe('any security object', () => {
  const role = fc.constantFrom('_reader', '_writer', '_admin', '_design', '_security');
  const name = fc.string({ minLength: 1, unit: 'grapheme' });
  const lists = fc.record({ names: fc.array(name), roles: fc.array(name) }, { requiredKeys: [] });
  const anyPut = fc.record(
    {
      cloudant: fc.dictionary(name, fc.array(role)),
      members: lists,
      admins: lists,
      couchdb_auth_only: fc.boolean(),
      colour: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );

  it('comes back as it was put, shows no marker, and is never public by accident', () => {
    fc.assert(
      fc.property(anyPut, (body) => {
        let request;
        try {
          request = parseSecurityPut(body);
        } catch (error) {
          assert.ok(error instanceof BadRequest, 'must be a BadRequest');
          return;
        }
        const stored = JSON.parse(JSON.stringify(storedForm(request, DB, { stamp: 1 }))) as Record<
          string,
          unknown
        >;
        const shown = shownForm(stored);
        assert.equal(
          JSON.stringify(shown).includes('couchgate-'),
          JSON.stringify(body).includes('couchgate-'),
        );
        const again = parseSecurityPut(shown);
        assert.deepEqual(JSON.parse(JSON.stringify(storedForm(again, DB, { stamp: 1 }))), stored);
        const { members } = stored as { members: { names?: string[]; roles?: string[] } };
        const isPublic = (members.names ?? []).length + (members.roles ?? []).length === 0;
        assert.equal(!isPublic || body.couchdb_auth_only === true, true);
        if (body.couchdb_auth_only !== true) assert.deepEqual(members, { names: [], roles: [member] });
      }),
    );
  });

  it('has markers that no other database shares', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        fc.pre(one !== other);
        const all = [one, other].flatMap((name) => [markersOf(name).member, markersOf(name).dbadmin]);
        assert.equal(new Set(all).size, 4);
        assert.equal(all.every(isMarker), true);
      }),
    );
  });
});
