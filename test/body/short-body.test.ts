import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { type ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { parseTarget } from '../../src/admit/target.ts';
import { createShortBodyBudget, shortBodyLength } from '../../src/body/short-body.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { testSettings } from '../support/settings.ts';

const classify = createClassify(testSettings());
const JSON_HEADERS = { 'content-type': 'application/json', 'content-length': '7' };

function lengthOf(line: string, headers: Readonly<Record<string, string>>): number {
  const [method = '', path = ''] = line.split(' ');
  const { endpoint } = classify(method, parseTarget(path, { maxUrlBytes: 4096 }), undefined);
  return shortBodyLength({ headers }, endpoint);
}

const newResponse = (): ServerResponse => new EventEmitter() as unknown as ServerResponse;

describe('a body that is kept because it is short', () => {
  for (const line of ['PUT /db/doc', 'POST /db/_find', 'POST /db/_bulk_docs', 'POST /db/_revs_diff']) {
    it(`is JSON of a stated length – ${line}`, () => {
      assert.equal(lengthOf(line, JSON_HEADERS), 7);
      assert.equal(lengthOf(line, { ...JSON_HEADERS, 'content-type': 'application/json; charset=utf-8' }), 7);
      assert.equal(lengthOf(line, { ...JSON_HEADERS, 'content-length': '65536' }), 65_536);
    });
  }

  for (const [what, line, headers] of [
    ['longer', 'PUT /db/doc', { ...JSON_HEADERS, 'content-length': '65537' }],
    ['empty', 'PUT /db/doc', { ...JSON_HEADERS, 'content-length': '0' }],
    ['chunked', 'PUT /db/doc', { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }],
    ['encoded', 'PUT /db/doc', { ...JSON_HEADERS, 'content-encoding': 'gzip' }],
    ['multipart', 'PUT /db/doc', { ...JSON_HEADERS, 'content-type': 'multipart/related; boundary=x' }],
    ['without a type', 'PUT /db/doc', { 'content-length': '7' }],
    ['an attachment', 'PUT /db/doc/a.json', JSON_HEADERS],
    ['for a feed', 'POST /db/_changes', JSON_HEADERS],
    ['for an update function', 'POST /db/_design/d/_update/f', JSON_HEADERS],
    ['for Couchgate', 'PUT /db/_security', JSON_HEADERS],
  ] as const) {
    it(`is not – ${what} – ${line}`, () => {
      assert.equal(lengthOf(line, headers), 0);
    });
  }

  it('is streamed if one caller, or all together, hold too much, until their responses close', () => {
    const budget = createShortBodyBudget();
    const responses: ServerResponse[] = [];
    const fill = (caller: string): number => {
      let count = 0;
      for (
        let res = newResponse();
        budget(res, caller)(65_536) === undefined;
        res = newResponse(), count += 1
      )
        responses.push(res);
      return count;
    };
    assert.deepEqual(['a', 'b', 'c', 'd', 'e'].map(fill), [64, 64, 64, 64, 0]);
    for (const res of responses.slice(0, 64)) res.emit('close');
    assert.deepEqual(['e', 'a'].map(fill), [64, 0]);
  });
});
