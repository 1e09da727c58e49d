import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DocumentIds, type IdPlace } from '../../src/body/document-ids.ts';
import { DESIGN, ORDINARY } from '../../src/catalogue/document-id.ts';
import { JsonScan } from '../../src/json/scan.ts';

function classesIn(text: string, place: IdPlace): number {
  const json = Buffer.from(text);
  const ids = new DocumentIds(json, place);
  const scan = new JsonScan(json, ids);
  while (scan.read(65_536));
  return ids.classes();
}

describe('the ids of a body', () => {
  it('have at most 64 KiB: a scan reads each in one go (H20) – 400', () => {
    const escaped = String.raw`\u0041`;
    for (const [text, isTooLong] of [
      ['x'.repeat(65_536), false],
      ['x'.repeat(65_537), true],
      [escaped.repeat(10_922), false],
      [escaped.repeat(10_923), true],
    ] as const)
      for (const [place, body] of [
        ['document-id', `{"_id":"${text}"}`],
        ['bulk-ids', `{"docs":[{"_id":"a"},{"_id":"${text}"},{}]}`],
      ] as const) {
        if (isTooLong) assert.throws(() => classesIn(body, place), { status: 400, error: 'illegal_docid' });
        else assert.equal(classesIn(body, place), ORDINARY);
      }
  });

  it('are read through escapes, in either case of their digits', () => {
    for (const id of [String.raw`\u005f\u0064esign\u002Fa`, String.raw`\u005Fdesi\u0067n\/a`])
      assert.equal(classesIn(`{"_id":"${id}"}`, 'document-id'), DESIGN);
  });
});
