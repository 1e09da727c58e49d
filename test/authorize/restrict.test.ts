// The restriction of the owner to its addresses, over the whole catalogue.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decide } from '../../src/authorize/decide.ts';
import { restrict } from '../../src/authorize/restrict.ts';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { type AllowedRule, Context, type Decision } from '../../src/context.ts';
import { type Principal } from '../../src/principal/principal.ts';

const OWNER: Principal = { kind: 'owner', name: 'admin', roles: ['_admin'] };

function restrictedFor(principal: Principal, decision: Decision): Decision {
  const context = new Context();
  context.client = { ip: '192.0.2.1', port: 1, secure: true, schemeKnown: true, mayAdminister: false };
  context.identified = { principal, method: 'basic' };
  return restrict(context, decision);
}

describe('an address outside owner_allow', () => {
  it('leaves the owner the public endpoints alone, whatever the rule is called', () => {
    const RULES: readonly (AllowedRule | undefined)[] = [undefined, 'owner', 'grant', 'public'];
    let count = 0;
    for (const endpoint of ENDPOINTS) {
      const operation = {
        endpoint,
        alternatives: [],
        decidedByBody: undefined,
        database: 'db',
        documentId: undefined,
      };
      const decision = decide(OWNER, operation, undefined, undefined);
      if (!decision.allow) continue;
      count += 1;
      const isPublic = endpoint.permit.kind === 'public';
      assert.equal(decision.rule, isPublic ? 'public' : 'owner', endpoint.id);
      for (const rule of RULES) {
        const restricted = restrictedFor(OWNER, { ...decision, rule: rule ?? decision.rule });
        assert.equal(restricted.allow, isPublic, `${endpoint.id} by ${rule ?? decision.rule}`);
        if (!restricted.allow) assert.equal(restricted.rule, 'owner address');
      }
      assert.equal(restrictedFor({ kind: 'key', name: 'key' }, decision).allow, true, endpoint.id);
    }
    assert.ok(count > 150, `${count} > 150`);
  });
});
