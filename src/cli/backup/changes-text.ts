// Prints the differences of two versions of a document.
import { type JsonChange } from '../../backup/json-diff.ts';
import { printable } from '../owner-client.ts';

const MAX_VALUE = 200;

/** `-` lines are of the older version, `+` lines of the newer one. */
export function changesText(changes: readonly JsonChange[]): string {
  return changes
    .flatMap(({ path, before, after }) => [
      ...(before === undefined ? [] : [`- ${pathText(path)}: ${valueText(before)}`]),
      ...(after === undefined ? [] : [`+ ${pathText(path)}: ${valueText(after)}`]),
    ])
    .join('\n');
}

function pathText(path: JsonChange['path']): string {
  return path.length === 0 ? '(document)' : printable(path.map((step) => JSON.stringify(step)).join(' '));
}

function valueText(json: string): string {
  return printable(json.length > MAX_VALUE ? `${json.slice(0, MAX_VALUE)}…` : json);
}
