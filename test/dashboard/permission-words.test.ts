// What saved edits would change, in words.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  NO_EDITS,
  setCouchRules,
  setRoles,
  type Edits,
  type SecurityDocument,
} from '../../src/dashboard/permission-edits.ts';
import { consequencesOf } from '../../src/dashboard/permission-words.ts';

const DOCUMENT: SecurityDocument = { cloudant: { nobody: ['_reader'], key: ['_reader', '_writer'] } };

const wordsOf = (edits: Edits, document = DOCUMENT): readonly string[] =>
  consequencesOf('fruit', document, edits).map(
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
      'takes: key can no longer read documents.',
    ],
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
    assert.match(
      wordsOf(setCouchRules(DOCUMENT, NO_EDITS, rules(empty)))[0] ?? '',
      /^opens: fruit is open to everybody/,
    );
    assert.match(
      wordsOf(setCouchRules(DOCUMENT, NO_EDITS, rules(undefined)))[0] ?? '',
      /^takes: fruit is closed/,
    );
  });
});
