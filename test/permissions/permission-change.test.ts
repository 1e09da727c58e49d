// What the audit log says of a change of permissions, also of one that is meant to be too much for it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { describeChange } from '../../src/permissions/permission-change.ts';
import { roleSet, type Role } from '../../src/permissions/role.ts';

function granting(grants: Readonly<Record<string, readonly Role[]>>): DatabasePermissions {
  const sets = new Map(Object.entries(grants).map(([name, roles]) => [name, roleSet(roles)]));
  return { database: 'db', grants: sets, couchdbAuthOnly: false, marked: true };
}

describe('describeChange', () => {
  it('names who gained and who lost, with both, and nobody else', () => {
    const before = granting({ ann: ['_reader'], bob: ['_writer'], eve: ['_reader'] });
    const after = granting({ ann: ['_reader', '_writer'], eve: ['_reader'], joe: ['_admin'] });
    assert.deepEqual(describeChange({ database: 'db', before, after }), {
      action: 'permissions',
      database: 'db',
      grants: [
        { name: 'ann', before: ['_reader'], after: ['_reader', '_writer'] },
        { name: 'bob', before: ['_writer'], after: [] },
        { name: 'joe', before: [], after: ['_admin'] },
      ],
    });
  });

  it('is short enough to be written, and shows who may change permissions, whatever else is granted', () => {
    const names = Array.from({ length: 50_000 }, (_, n) => [`${'x'.repeat(1000)}${n}`, ['_reader']] as const);
    const after = granting({ ...Object.fromEntries(names), thief: ['_admin'], second: ['_security'] });
    const change = describeChange({ database: 'db', before: granting({}), after });
    assert.equal(JSON.stringify(change).length < 1_048_576, true);
    const shown = (change['grants'] as { readonly name: string }[]).map(({ name }) => name);
    assert.deepEqual(shown.slice(0, 2), ['thief', 'second']);
    assert.equal(change['grantsNotShown'], 50_002 - shown.length);
  });

  it('shows less of a name that has others than printable ASCII: each may take six bytes', () => {
    const after = granting({ ['x'.repeat(300)]: ['_reader'], ['\u200e'.repeat(300)]: ['_reader'] });
    const { grants } = describeChange({ database: 'db', before: granting({}), after });
    assert.deepEqual(
      (grants as { readonly name: string }[]).map(({ name }) => name),
      ['x'.repeat(256), '\u200e'.repeat(80)],
    );
  });
});
