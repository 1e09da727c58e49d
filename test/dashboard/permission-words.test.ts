// What saved edits would change, in words.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type CouchList,
  NO_EDITS,
  setCouchRules,
  setRoles,
  type Edits,
  type SecurityDocument,
} from '../../src/dashboard/permission-edits.ts';
import { consequencesOf, type Reaching } from '../../src/dashboard/permission-words.ts';

const DOCUMENT: SecurityDocument = { cloudant: { nobody: ['_reader'], key: ['_reader', '_writer'] } };

const wordsOf = (edits: Edits, document = DOCUMENT, reach: readonly Reaching[] = []): readonly string[] =>
  consequencesOf('fruit', document, edits, reach).map(
    ({ tone, name, text }) => `${tone}: ${name === undefined ? '' : `${name} `}${text}`,
  );

type Row = readonly [name: string, roles: readonly string[], words: readonly string[]];

const ROWS: readonly Row[] = [
  ['nobody', [], ['takes: fruit is no longer public: requests without a password are refused.']],
  ['nobody', ['_reader', '_writer'], ['opens: fruit becomes writable without a password.']],
  [
    'nobody',
    ['_reader', '_design', '_admin'],
    [
      'opens: Everyone without a password can change design documents and indexes and do everything, delete the database included.',
    ],
  ],
  ['new', ['_reader'], ['gives: new can read documents.']],
  ['new', ['_security'], ['opens: new can change the permissions, and so take every other right.']],
  ['key', [], ['takes: key loses all access. Its open feeds end.']],
  ['key', ['_writer'], ['takes: key can no longer read documents.']],
  [
    'key',
    ['_writer', '_admin'],
    [
      'opens: key can do everything, delete the database included.',
      'takes: key loses Read here, but what it still has permits the same.',
    ],
  ],
  [
    'nobody',
    ['_admin'],
    ['opens: Everyone without a password can do everything, delete the database included.'],
  ],
];

describe('the consequences of edits', () => {
  for (const [name, roles, words] of ROWS)
    it(`say what changes – ${name} gets ${roles.join(' ') || 'nothing'}`, () =>
      assert.deepEqual(wordsOf(setRoles(DOCUMENT, NO_EDITS, name, roles)), words));

  it('say that nobody but server admins is left', () => {
    const edits = setRoles(DOCUMENT, setRoles(DOCUMENT, NO_EDITS, 'nobody', []), 'key', []);
    assert.equal(wordsOf(edits).includes('takes: Only server admins have access afterwards.'), true);
  });

  it('warn of a database that CouchDB opens to everybody', () => {
    const empty = { names: [], roles: [] };
    const rules = (members: typeof empty | undefined) => ({ isOn: true, members, admins: undefined });
    const linesOf = (members: typeof empty | undefined): string =>
      wordsOf(setCouchRules(DOCUMENT, NO_EDITS, rules(members))).join('\n');
    assert.match(linesOf(empty), /^opens: fruit is open to everybody/);
    assert.match(linesOf(undefined), /^takes: fruit is closed to everybody but server admins/m);
  });

  it('say what a prefix grant leaves to a name', () => {
    const reach = [{ name: 'key', roles: ['_reader'] }];
    const lines = (roles: readonly string[]): readonly string[] =>
      wordsOf(setRoles(DOCUMENT, NO_EDITS, 'key', roles), DOCUMENT, reach);
    assert.deepEqual(lines([]), [
      'takes: key can no longer write and delete documents.',
      'takes: key still can read documents, by a prefix grant.',
    ]);
    assert.deepEqual(lines(['_writer']), [
      'takes: key loses Read here, but what it still has permits the same.',
    ]);
  });

  it('name who comes and goes where CouchDB decides', () => {
    const list = (names: readonly string[], roles: readonly string[] = []) => ({ names, roles });
    const document = { couchdb_auth_only: true, members: list(['ann', 'bob']), admins: list([]) };
    const lines = (members: CouchList | undefined, admins: CouchList): readonly string[] =>
      wordsOf(setCouchRules(document, NO_EDITS, { isOn: true, members, admins }), document);
    assert.deepEqual(lines(list(['ann', 'carol'], ['sales']), list(['mallory'])), [
      'opens: mallory becomes an admin in CouchDB: it can also change design documents.',
      'gives: carol becomes a member in CouchDB: it can read and write documents.',
      'gives: sales (a role) becomes a member in CouchDB: it can read and write documents.',
      'takes: bob is no longer a member in CouchDB.',
    ]);
    assert.equal(
      lines(undefined, list(['mallory'])).includes(
        'takes: fruit is closed to everybody but the admins in CouchDB and server admins: it has no list of members.',
      ),
      true,
    );
  });
});
