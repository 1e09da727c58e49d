// Replaces measured sections of docs/performance.md between their markers; the other text is written by hand.
import { readFileSync, writeFileSync } from 'node:fs';

const DOCUMENT = new URL('../docs/performance.md', import.meta.url);

/**
 * Replaces the text between `<!-- measured: group -->` and `<!-- end: group -->`. Throws if the markers are
 * missing.
 */
export function replaceMeasured(group: string, text: string): void {
  const open = `<!-- measured: ${group} -->`;
  const close = `<!-- end: ${group} -->`;
  const document = readFileSync(DOCUMENT, 'utf8');
  const start = document.indexOf(open);
  const end = document.indexOf(close);
  if (start === -1 || end < start) throw new Error(`docs/performance.md lacks ${open} … ${close}`);
  writeFileSync(DOCUMENT, `${document.slice(0, start + open.length)}\n\n${text}\n${document.slice(end)}`);
}
