// H7: a name that every object inherits, such as `__proto__`, is a name like any other in every place of a request.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTarget } from '../../src/admit/target.ts';
import { describePermit } from '../../src/audit/line.ts';
import { decide } from '../../src/authorize/decide.ts';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { METHODS } from '../../src/catalogue/endpoint.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { tokensOf, type Token } from '../../src/classify/pattern.ts';
import { NOBODY } from '../../src/principal/principal.ts';
import { CALLER_HEADER, EXCHANGE_HEADER, startPolicyFront } from '../support/policy-front.ts';
import { testSettings } from '../support/settings.ts';

const INHERITED = Object.getOwnPropertyNames(Object.prototype);

const textOf = (token: Token): string =>
  token.kind === 'literal' ? token.text : token.first === 'underscored' ? '_x' : 'x';

/** Every path of the catalogue, with `name` in place of each segment and behind the last one. */
function pathsWith(name: string): readonly string[] {
  const spellings = ENDPOINTS.flatMap(({ path }) => tokensOf(path)).map((tokens) => tokens.map(textOf));
  const paths = spellings.flatMap((segments) =>
    [...segments, 'end'].map(
      (_, at) => `/${[...segments.slice(0, at), name, ...segments.slice(at + 1)].join('/')}`,
    ),
  );
  return [...new Set(paths)];
}

describe('a name that every object inherits (H7)', () => {
  it('is a segment like any other in every path of the catalogue, for every method', () => {
    const classify = createClassify(testSettings());
    for (const name of INHERITED)
      for (const path of pathsWith(name))
        for (const method of METHODS) {
          const operation = classify(method, parseTarget(path, { maxUrlBytes: 8000 }), undefined);
          const { permit } = operation.endpoint;
          assert.equal(typeof describePermit(permit), 'string', `${method} ${path}`);
          const decision = decide(NOBODY, operation, undefined, undefined);
          assert.equal(decision.allow, permit.kind === 'public', `${method} ${path}`);
        }
  });

  it('is refused and recorded as a handler of a design document – PUT /x/_design/y/__proto__ – 401, 400', async () => {
    const front = await startPolicyFront();
    const handlers = INHERITED.filter((name) => name.startsWith('_'));
    try {
      for (const [caller, status] of [
        [undefined, 401],
        ['owner', 400],
      ] as const)
        for (const path of handlers.flatMap((name) => [name, `${name}/a`])) {
          const id = `${caller ?? 'nobody'}-${path.replace('/', '-')}`;
          const headers = new Headers({ [EXCHANGE_HEADER]: id });
          if (caller !== undefined) headers.set(CALLER_HEADER, caller);
          const answer = await fetch(`${front.url}/x/_design/y/${path}`, {
            method: 'PUT',
            headers,
            body: '1',
          });
          assert.equal(answer.status, status, path);
          assert.equal((await front.lineOf(id))['statusCode'], status);
        }
      assert.deepEqual([front.failures, front.takeAll()], [[], []]);
    } finally {
      await front.close();
    }
  });
});
