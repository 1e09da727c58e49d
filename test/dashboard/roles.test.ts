// The dashboard has the roles of the server, and its rule for names of databases that may have grants.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isOpenToGrants } from '../../src/catalogue/database-name.ts';
import { mayHaveGrants, ROLES } from '../../src/dashboard/roles.ts';
import { ROLES as SERVER_ROLES } from '../../src/permissions/role.ts';

const SYSTEM = ['_users', '_replicator', '_global_changes', '_dbs', '_nodes', '_metadata'];
const PARTS = [...SYSTEM, '_other', 'users', 'x_users', '_usersx'];
const NAMES = [
  ...PARTS.flatMap((part) => [part, `${part}/`, `x/${part}`, `x/${part}/`, `x/${part}//`, `x/${part}/y`]),
  ...['fruit', 'a', 'a0_$()+/-', 'userdb-616263', 'shop/orders', 'a//'],
  ...['', '0a', '/a', '_', '-a', 'Fruit', 'a b', 'a.b', 'ä', 'aé', 'a%2Fb', 'a\n', 'a\\b'],
];

describe('the roles of the dashboard', () => {
  it('are those of the server', () => {
    assert.deepEqual(ROLES.map(({ role }) => role).sort(), [...SERVER_ROLES].sort());
  });

  it('can be granted on the databases on which the server allows grants', () => {
    assert.deepEqual(
      NAMES.filter((name) => mayHaveGrants(name)),
      NAMES.filter((name) => isOpenToGrants(name)),
    );
  });
});
