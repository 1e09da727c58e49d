import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseKey, writeKey } from '../../src/identity/key-document.ts';
import { digestPassword, makeKeyName, makePassword } from '../../src/identity/secret.ts';

const record = {
  name: makeKeyName(),
  rev: '1-abc',
  digests: [digestPassword(makePassword()), digestPassword(makePassword(), Date.UTC(2030, 0, 1))],
  rotations: 3,
  until: Infinity,
  label: 'reports',
  createdBy: 'owner',
  createdAt: '2023-01-01T00:00:00.000Z',
};

test('a key is read as it was written', () => {
  assert.deepEqual(parseKey(writeKey(record)), record);
});

test('a key in memory refers to no bytes outside of it', () => {
  const views: unknown[] = [];
  JSON.stringify(parseKey(writeKey(record)), function (this: Record<string, unknown>, field, value: unknown) {
    if (ArrayBuffer.isView(this[field])) views.push(field);
    return value;
  });
  assert.deepEqual(views, []);
});
