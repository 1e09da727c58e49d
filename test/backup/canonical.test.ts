// The canonical form does not depend on order, white space and escapes, and depends on everything else.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { comparableDocument, jsonDiff } from '../../src/backup/json-diff.ts';
import { InvalidJson, JsonCursor } from '../../src/backup/canonical.ts';

const canonical = (text: string): string => new JsonCursor(text).value();

describe('canonical JSON', () => {
  it('is the same for every spelling of a value', () => {
    for (const [text, expected] of [
      ['{"b":1,"a":[ true , null ]}', '{"a":[true,null],"b":1}'],
      ['"\\u00e9\\/"', '"é/"'],
      ['1.0', '1'],
      ['1e2', '100'],
      ['-0', '0'],
      ['123456789012345678901234567890', '123456789012345678901234567890'],
      ['{"a":{},"b":[]}', '{"a":{},"b":[]}'],
      ['["a\\\\","b\\"c","\\\\\\"",1.5]', '["a\\\\","b\\"c","\\\\\\"",1.5]'],
    ] as const)
      assert.equal(canonical(text), expected);
  });

  it('agrees with JSON.stringify for sorted keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        assert.deepEqual(JSON.parse(canonical(text)), JSON.parse(text));
        assert.equal(canonical(canonical(text)), canonical(text));
      }),
    );
  });

  it('reads deep nesting without recursion, and in the time of its length', { timeout: 60_000 }, () => {
    for (const [open, close] of [
      ['[', ']'],
      ['[1,', ']'],
      ['{"a":[],"b":', ',"c":"\u{1f600}"}'],
    ] as const) {
      const deep = `${open.repeat(200_000)}0${close.repeat(200_000)}`;
      assert.equal(canonical(deep), deep);
    }
  });

  it('joins short and long parts in their order', () => {
    const [long, other] = [`"${'x'.repeat(600)}"`, `"${'y'.repeat(600)}"`];
    for (const parts of [
      [long],
      ['1', long],
      [long, '1'],
      [long, other],
      ['1', '2', long, '3', other, '4', '5'],
    ])
      assert.equal(canonical(`[${parts.join(' , ')}]`), `[${parts.join(',')}]`);
  });

  it('compares documents of any depth', () => {
    const document = (value: string): unknown =>
      comparableDocument(`{"_id":"a","v":${'[1,'.repeat(50_000)}${value}${']'.repeat(50_000)}}`, () => '');
    assert.deepEqual(jsonDiff(document('12345678901234567890'), document('12345678901234567890')), []);
    const changes = jsonDiff(document('12345678901234567890'), document('1'));
    assert.deepEqual(
      changes.map(({ kind, path }) => [kind, path.length]),
      [['changed', 100]],
    );
  });

  it('refuses what is not JSON', () => {
    for (const text of ['', '{', '{"a"}', '[1', '"a', 'nul', '{"a":}', '"\n"', '"a\\"', '["a","\u0001"]'])
      assert.throws(() => canonical(text), InvalidJson);
  });
});
