// Reads one source file for the rules of the tree: its imports and its comments, by the compiler's own parser.
import { dirname, posix } from 'node:path';
import ts from 'typescript';

/** A file of src as the rules see it; `path` is relative to src, with slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export interface Import {
  /** As written: `./x.ts`, `nano`, `node:fs`. */
  readonly name: string;
  /** Only types: nothing is loaded. */
  readonly typeOnly: boolean;
  /** `import('…')`. */
  readonly dynamic: boolean;
}

export interface Comment {
  /** The first line, counted from 0. */
  readonly line: number;
  readonly text: string;
}

const cache = new WeakMap<SourceFile, readonly Import[]>();

export function importsOf(file: SourceFile): readonly Import[] {
  const known = cache.get(file);
  if (known !== undefined) return known;
  const imports: Import[] = [];
  const visit = (node: ts.Node): void => {
    const found = importIn(node);
    if (found !== undefined) imports.push(found);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest));
  cache.set(file, imports);
  return imports;
}

/** Every comment, also one behind code. Slow: it visits every token. */
export function commentsOf({ path, text }: SourceFile): readonly Comment[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const comments = new Map<number, Comment>();
  const visit = (node: ts.Node): void => {
    const children = node.getChildren(source);
    if (children.length === 0)
      for (const { pos, end } of [
        ...(ts.getLeadingCommentRanges(text, node.pos) ?? []),
        ...(ts.getTrailingCommentRanges(text, node.end) ?? []),
      ])
        comments.set(pos, {
          line: source.getLineAndCharacterOfPosition(pos).line,
          text: text.slice(pos, end),
        });
    children.forEach(visit);
  };
  visit(source);
  return [...comments.values()].sort((a, b) => a.line - b.line);
}

/** The folder directly under src; empty for a file that is directly in src. */
export const folderOf = (path: string): string => (path.includes('/') ? (path.split('/')[0] ?? '') : '');

/** The imports of files of src, as paths relative to src. */
export function localImportsOf(file: SourceFile): readonly (Import & { readonly path: string })[] {
  return importsOf(file)
    .filter(({ name }) => name.startsWith('.'))
    .map((found) => ({ ...found, path: posix.normalize(posix.join(dirname(file.path), found.name)) }));
}

/** The imports of packages, by the name of the package. */
export function packageImportsOf(file: SourceFile): readonly (Import & { readonly packageName: string })[] {
  return importsOf(file)
    .filter(({ name }) => !name.startsWith('.') && !name.startsWith('node:'))
    .map((found) => {
      const parts = found.name.split('/');
      return { ...found, packageName: parts.slice(0, found.name.startsWith('@') ? 2 : 1).join('/') };
    });
}

function importIn(node: ts.Node): Import | undefined {
  if (ts.isImportDeclaration(node))
    return literal(node.moduleSpecifier, { typeOnly: loadsNothing(node.importClause) });
  if (ts.isExportDeclaration(node))
    return literal(node.moduleSpecifier, { typeOnly: node.isTypeOnly || allTypes(node.exportClause) });
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
    return literal(node.argument.literal, { typeOnly: true });
  if (ts.isCallExpression(node)) {
    if (node.expression.kind === ts.SyntaxKind.ImportKeyword)
      return literal(node.arguments[0], { dynamic: true });
    if (ts.isIdentifier(node.expression) && node.expression.text === 'require')
      return literal(node.arguments[0], {});
  }
  return undefined;
}

function literal(node: ts.Node | undefined, kind: Partial<Import>): Import | undefined {
  if (node === undefined || !ts.isStringLiteralLike(node)) return undefined;
  return { typeOnly: false, dynamic: false, ...kind, name: node.text };
}

function loadsNothing(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  return clause.name === undefined && allTypes(clause.namedBindings);
}

function allTypes(bindings: ts.NamedImportBindings | ts.NamedExportBindings | undefined): boolean {
  if (bindings === undefined || !(ts.isNamedImports(bindings) || ts.isNamedExports(bindings))) return false;
  const elements: readonly (ts.ImportSpecifier | ts.ExportSpecifier)[] = [...bindings.elements];
  return elements.length > 0 && elements.every(({ isTypeOnly }) => isTypeOnly);
}
