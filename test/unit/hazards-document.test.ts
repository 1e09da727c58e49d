// Holds docs/hazards.md to the tests that it names, and the hostile tests to the hazards listed there.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const TEST = join(import.meta.dirname, '..');
const text = readFileSync(join(TEST, '../docs/hazards.md'), 'utf8');
const sections = text.split(/^## /m).slice(1);
const named = [...text.matchAll(/`((?:[\w-]+\/)*[\w.-]+\.test\.ts)`/g)].map(([, name = '']) => name);

describe('docs/hazards.md', () => {
  it('has every hazard once, with a test', () => {
    const names = sections.map((section) => section.split(' ')[0]);
    const expected = [
      ...Array.from({ length: 18 }, (_, at) => `H${at + 1}`),
      ...Array.from({ length: 6 }, (_, at) => `M${at + 1}`),
    ];
    assert.deepEqual(names, expected);
    for (const section of sections) assert.match(section, /Tests?: `/, section.slice(0, 40));
  });

  it('names tests that are there', () => {
    const missing = named.filter(
      (name) => !existsSync(join(TEST, name.startsWith('test/') ? join('..', name) : join('hostile', name))),
    );
    assert.deepEqual(missing, []);
  });

  it('has the hazard of every hostile test that is named after one', () => {
    const unlisted = readdirSync(join(TEST, 'hostile')).filter((name) => {
      const [, letter, number] = /^([hm])0?(\d+)-.*\.test\.ts$/.exec(name) ?? [];
      return (
        letter !== undefined &&
        !sections.some((section) => section.startsWith(`${letter.toUpperCase()}${number ?? ''} `))
      );
    });
    assert.deepEqual(unlisted, []);
  });
});
