// The documents of operation say what the code does: fields of the access log, metrics of the dashboard.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
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

  it('lists every class of operations', () => {
    const text = read('docs/audit-log.md');
    for (const action of ACTIONS) if (action !== 'none') assert.ok(text.includes(`\`${action}\``), action);
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
