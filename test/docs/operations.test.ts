// The documents of operation say what the code does: fields of the access log, metrics, quoted log messages.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ACTIONS } from '../../src/audit/request-metrics.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

describe('docs/audit-log.md', () => {
  it('lists every field that a line can have, and no other', () => {
    const code = read('src/audit/line.ts') + read('src/audit/connection.ts');
    const written = new Set([...code.matchAll(/[,{]"([a-zA-Z]+)":/g)].map((match) => match[1]));
    for (const inner of ['wait', 'upstream', 'transfer', 'response']) written.delete(inner);
    const rows = read('docs/audit-log.md')
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    const documented = new Set(
      rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map((match) => match[1])),
    );
    assert.deepEqual([...documented].sort(), [...written].sort());
  });

  it('lists every action of a change, and no other', () => {
    const folders = ['src/answer', 'src/permissions'].flatMap((folder) =>
      readdirSync(join(ROOT, folder)).map((name) => join(folder, name)),
    );
    const code = folders.map(read).join('\n');
    const [, ofBackups = ''] = /const ACTIONS = \{([^}]+)\}/.exec(code) ?? [];
    const written = [
      ...[...code.matchAll(/\baction: '([^']+)'/g)].map(([, action = '']) => action),
      ...[...ofBackups.matchAll(/: '([^']+)'/g)].map(([, action = '']) => action),
    ];
    const [, sentence = ''] =
      /The field `action` of `change` is ([^.]+)\./.exec(read('docs/audit-log.md')) ?? [];
    const documented = [...sentence.matchAll(/`([^`]+)`/g)].map(([, action = '']) => action);
    assert.deepEqual(documented.sort(), [...new Set(written)].sort());
  });

  it('lists every class of operations', () => {
    const text = read('docs/audit-log.md');
    for (const action of ACTIONS) if (action !== 'none') assert.ok(text.includes(`\`${action}\``), action);
  });
});

/** Names of all metrics of Couchgate's own, with their prefix. */
function metricNames(): readonly string[] {
  const code = read('src/audit/metrics.ts') + read('src/service-metrics.ts');
  const sources = [...code.matchAll(/\bname: '([a-z_]+)'/g)].map(([, name = '']) => `couchgate_${name}`);
  const histograms = [...code.matchAll(/'(couchgate_[a-z_]+)'/g)].map(([, name = '']) => name);
  return [...sources, ...histograms].sort();
}

const sourceText = (): string =>
  readdirSync(join(ROOT, 'src'), { recursive: true })
    .map(String)
    .filter((path) => path.endsWith('.ts'))
    .map((path) => read(join('src', path)))
    .join('\n');

describe('docs/operations.md', () => {
  const text = read('docs/operations.md');

  it('lists every metric that Couchgate offers, and no other', () => {
    const documented = [...text.matchAll(/^\| `(couchgate_[a-z_]+)` \|/gm)].map(([, name = '']) => name);
    assert.deepEqual(documented.sort(), metricNames());
  });

  it('names no metric elsewhere that Couchgate does not offer', () => {
    const names = new Set(metricNames());
    const named = [...text.matchAll(/`(couchgate_[a-z_]+)/g)].map(([, name = '']) => name);
    assert.deepEqual(
      named.filter((name) => !names.has(name)),
      [],
    );
  });

  it('quotes only log messages and reasons that the source contains', () => {
    const [, table = ''] = /^## If something is wrong\n([\s\S]*?)^###/m.exec(text) ?? [];
    const cells = table
      .split('\n')
      .flatMap((line) => (line.startsWith('| ') ? [line.split(' | ')[1] ?? ''] : []));
    const quoted = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, words = '']) => words));
    const messages = quoted.filter((words) => words.includes(' '));
    const source = sourceText();
    assert.ok(messages.length > 20, `only ${String(messages.length)} messages were found in the table`);
    assert.deepEqual(
      messages.filter((words) => !source.includes(words)),
      [],
    );
  });
});

describe('docs/grafana.json', () => {
  it('asks for no metric that Couchgate does not offer', () => {
    const asked = new Set(
      [...read('docs/grafana.json').matchAll(/couchgate_([a-z_]+)/g)].map((match) => match[1] ?? ''),
    );
    const code = read('src/audit/metrics.ts') + read('src/service-metrics.ts');
    const unknown = [...asked].filter(
      (name) =>
        !code.includes(`'${name.replace(/_(bucket|sum|count)$/, '')}'`) &&
        !code.includes(`couchgate_${name.replace(/_(bucket|sum|count)$/, '')}`),
    );
    assert.deepEqual(unknown, []);
  });
});
