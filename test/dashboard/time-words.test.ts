// Times in words.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { relativeHour, relativeTime } from '../../src/dashboard/time-words.ts';

const NOW = Date.parse('2026-01-31T12:20:00Z');
const ago = (seconds: number): string => new Date(NOW - seconds * 1000).toISOString();

describe('a time in words', () => {
  const TABLE: readonly (readonly [seconds: number, words: string])[] = [
    [0, 'just now'],
    [59, 'just now'],
    [60, '1 minute ago'],
    [1800, '30 minutes ago'],
    [3569, '59 minutes ago'],
    [3599, '1 hour ago'],
    [86_399, 'yesterday'],
    [40 * 86_400, 'last month'],
    [-30, 'in less than a minute'],
    [-90 * 86_400, 'in 3 months'],
  ];
  for (const [seconds, words] of TABLE)
    it(`is "${words}" – ${seconds} s`, () => assert.equal(relativeTime(ago(seconds), NOW), words));
});

describe('the hour of the last use in words', () => {
  const TABLE: readonly (readonly [hour: string, words: string])[] = [
    // A key that was made at 12:10 and used at 12:15 is not "20 minutes" old.
    ['2026-01-31T12:00:00Z', 'in the last hour'],
    ['2026-01-31T11:00:00Z', 'in the last 2 hours'],
    ['2026-01-31T10:00:00Z', '2 hours ago'],
    ['2026-01-28T10:00:00Z', '3 days ago'],
  ];
  for (const [hour, words] of TABLE)
    it(`is "${words}" – ${hour}`, () => assert.equal(relativeHour(hour, NOW), words));
});
