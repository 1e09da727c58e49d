// Holds docs/hazards.md to its form, to the files that it names, and the hostile tests to the hazards listed there.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const HOSTILE = join(ROOT, 'test/hostile');
const text = readFileSync(join(ROOT, 'docs/hazards.md'), 'utf8');
const MAX_WORDS = 80;

interface Entry {
  /** `H4` or `H15.3`. */
  readonly id: string;
  readonly body: string;
}

/** The sections of a text below headings of that depth, their headings first. */
const sectionsOf = (part: string, heading: RegExp): readonly string[] => part.split(heading).slice(1);
const idOf = (section: string): string => section.split(/\s/, 1)[0] ?? '';
const hazards = sectionsOf(text, /^## /m);
/** A hazard is one entry, or has several below it. */
const entries: readonly Entry[] = hazards.flatMap((hazard) => {
  const parts = sectionsOf(hazard, /^### /m);
  return (parts.length === 0 ? [hazard] : parts).map((body) => ({ id: idOf(body), body }));
});

const labelsOf = ({ body }: Entry): readonly string[] =>
  [...body.matchAll(/^- \*\*([^*]+)\.\*\*/gm)].map(([, label = '']) => label);

/** What stands behind a label, up to the next one. */
function fieldOf({ body }: Entry, label: string): string {
  const [, found = ''] = body.split(`- **${label}.**`);
  return (found.split(/^- \*\*|^#/m, 1)[0] ?? '').trim();
}

const filesIn = (field: string): readonly string[] =>
  [...field.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
/** A test without a folder is a hostile one. */
const testPath = (name: string): string =>
  name.startsWith('test/') ? join(ROOT, name) : join(HOSTILE, name);

describe('docs/hazards.md', () => {
  it('has every hazard once, and the parts of a hazard in their order', () => {
    const numbersOf = (letter: string): readonly number[] =>
      hazards.map(idOf).flatMap((id) => (id.startsWith(letter) ? [Number(id.slice(1))] : []));
    for (const numbers of [numbersOf('H'), numbersOf('M')])
      assert.deepEqual(
        numbers,
        [...new Set(numbers)].sort((a, b) => a - b),
      );
    assert.equal(hazards.length, numbersOf('H').length + numbersOf('M').length);
    for (const hazard of hazards) {
      const parts = sectionsOf(hazard, /^### /m).map(idOf);
      assert.deepEqual(
        parts,
        parts.map((_, at) => `${idOf(hazard)}.${at + 1}`),
      );
    }
  });

  it('says of every entry the attack, the defence, where it is and its test, and may say what remains', () => {
    for (const entry of entries) {
      const labels = labelsOf(entry).filter((label) => label !== 'What remains');
      assert.deepEqual(labels, ['Attack', 'Defence', 'Where', 'Test'], entry.id);
      for (const label of labelsOf(entry)) assert.notEqual(fieldOf(entry, label), '', `${entry.id} ${label}`);
    }
  });

  it('keeps every entry short', () => {
    const long = entries.filter((entry) => {
      const told = ['Attack', 'Defence', 'What remains'].map((label) => fieldOf(entry, label)).join(' ');
      return told.split(/\s+/).length > MAX_WORDS;
    });
    assert.deepEqual(
      long.map(({ id }) => id),
      [],
    );
  });

  it('names files of the defence that are there, at least one for each entry', () => {
    for (const entry of entries) {
      const files = filesIn(fieldOf(entry, 'Where'));
      assert.ok(files.length > 0, entry.id);
      assert.deepEqual(
        files.filter((name) => !/^(?:src|config)\//.test(name) || !existsSync(join(ROOT, name))),
        [],
        entry.id,
      );
    }
  });

  it('names tests that are there, at least one for each entry', () => {
    for (const entry of entries) {
      const files = filesIn(fieldOf(entry, 'Test'));
      assert.ok(files.length > 0, entry.id);
      assert.deepEqual(
        files.filter((name) => !name.endsWith('.test.ts') || !existsSync(testPath(name))),
        [],
        entry.id,
      );
    }
  });

  it('names every hostile test, under the hazard that the file is called after', () => {
    const unlisted = readdirSync(HOSTILE).filter((name) => {
      if (!name.endsWith('.test.ts')) return false;
      const [, letter, number] = /^([hm])0?(\d+)-/.exec(name) ?? [];
      const hazard = letter === undefined ? '' : `${letter.toUpperCase()}${number ?? ''}`;
      return !entries.some(
        (entry) =>
          (hazard === '' || entry.id.split('.')[0] === hazard) &&
          filesIn(fieldOf(entry, 'Test')).includes(name),
      );
    });
    assert.deepEqual(unlisted, []);
  });
});
