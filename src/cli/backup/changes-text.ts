// Prints the differences of two versions of a document.
import { type JsonChange } from '../../backup/json-diff.ts';

const MAX_VALUE = 200;

/** `-` lines are of the older version, `+` lines of the newer one. */
export function changeLines(changes: readonly JsonChange[]): readonly string[] {
  return changes.flatMap(({ path, before, after }) => [
    ...(before === undefined ? [] : [`- ${pathText(path)}: ${valueText(before)}`]),
    ...(after === undefined ? [] : [`+ ${pathText(path)}: ${valueText(after)}`]),
  ]);
}

function pathText(path: JsonChange['path']): string {
  return path.length === 0 ? '(document)' : path.map((step) => JSON.stringify(step)).join(' ');
}

function valueText(json: string): string {
  return json.length > MAX_VALUE ? `${json.slice(0, MAX_VALUE)}…` : json;
}
