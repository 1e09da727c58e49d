// Reads the nodes of a permissions file: fields, texts and lists. Reports every problem with its line.
import { isAlias, isMap, isScalar, isSeq, type Node } from 'yaml';
import { nearest } from '../../config/nearest.ts';

export interface FileProblem {
  readonly line: number;
  readonly reason: string;
}

export type Fields = ReadonlyMap<string, { readonly value: Node | null; readonly line: number }>;

export class FileNodes {
  readonly problems: FileProblem[] = [];
  /** The line of a node, of the part that is read. */
  lineOf: (node: Node | null | undefined) => number = () => 1;

  report(line: number, reason: string): void {
    this.problems.push({ line, reason });
  }

  /** The fields of a map; reports unknown ones. `allowed` = undefined: every name. */
  fieldsIn(node: Node | null, allowed: readonly string[] | undefined, place: string): Fields {
    const fields = new Map<string, { value: Node | null; line: number }>();
    if (!isMap<Node, Node | null>(node) || isMarkedUp(node)) {
      this.report(
        this.lineOf(node),
        `${place} must have \`name: value\` lines, without anchors, aliases and tags`,
      );
      return fields;
    }
    for (const { key, value } of node.items) {
      const line = this.lineOf(key);
      const name = this.textIn(key);
      if (name === undefined) this.report(line, 'a name must be a text');
      else if (allowed !== undefined && !allowed.includes(name)) {
        const near = nearest(name, allowed);
        const hint = near === undefined ? `; allowed: ${allowed.join(', ')}` : `; did you mean ${near}?`;
        this.report(line, `unknown field ${quoted(name)}${hint}`);
      } else fields.set(name, { value, line });
    }
    return fields;
  }

  /** The items of a list; `undefined` = it is none. */
  nodesIn(node: Node | null | undefined): readonly Node[] | undefined {
    return isSeq<Node>(node) && !isMarkedUp(node) ? node.items : undefined;
  }

  /** The text of a node without anchor, alias and tag; `undefined` = it is none. */
  textIn(node: Node | null | undefined): string | undefined {
    if (!isScalar(node) || isMarkedUp(node) || typeof node.value !== 'string') return undefined;
    return node.value;
  }
}

/** True for an alias, an anchor or a tag: they would make a text mean something else than it says. */
function isMarkedUp(node: Node): boolean {
  const { anchor, tag } = node as { readonly anchor?: string; readonly tag?: string };
  return isAlias(node) || anchor !== undefined || tag !== undefined;
}

export function isEmpty(value: Node | null): boolean {
  return value === null || (isScalar(value) && value.value === '');
}

/** Names may have any characters. */
export function quoted(text: string): string {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return JSON.stringify(shown);
}
