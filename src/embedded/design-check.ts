// Validates the structure of a design document before a write, and compiles its map and reduce functions.
import { BadRequest } from '../http-errors.ts';
import { type FunctionHost } from './functions.ts';
import { isObject } from './json.ts';
import { type Document } from './pouch.ts';
import { FunctionFailure } from './sandbox.ts';

const BUILT_IN_REDUCES = new Set(['_sum', '_count', '_stats']);

/**
 * Throws CouchDB's 400 `invalid_design_doc` or `compilation_error`. Functions are compiled only if the
 * language is JavaScript: Mango index definitions are objects.
 */
export function checkDesignFunctions(functions: FunctionHost, doc: Document): void {
  const language = doc['language'] ?? 'javascript';
  const views = doc['views'];
  if (views !== undefined && !isObject(views)) throw invalid('`views` field must have object type');
  for (const [name, view] of Object.entries(views ?? {})) {
    if (!isObject(view)) throw invalid(`\`views/${name}\` field must have object type`);
    if (language === 'javascript' && name !== 'lib') checkView(functions, name, view);
  }
  for (const field of ['filters', 'updates', 'shows', 'lists']) {
    const value = doc[field];
    if (value !== undefined && !isObject(value)) throw invalid(`\`${field}\` field must have object type`);
  }
  const validator = doc['validate_doc_update'];
  if (validator !== undefined && typeof validator !== 'string')
    throw invalid('`validate_doc_update` field must have string type');
}

function checkView(functions: FunctionHost, name: string, view: Record<string, unknown>): void {
  const { map, reduce } = view;
  if (map === undefined) throw invalid(`View \`${name}\` must contain map function`);
  if (typeof map !== 'string') throw invalid(`\`views/${name}/map\` field must have string type`);
  compile(functions, name, 'map', map);
  if (reduce === undefined) return;
  if (typeof reduce !== 'string') throw invalid(`\`views/${name}/reduce\` field must have string type`);
  if (!reduce.startsWith('_')) compile(functions, name, 'reduce', reduce);
  else if (!BUILT_IN_REDUCES.has(reduce)) throw invalid(`\`${reduce}\` is not a supported reduce function.`);
}

function compile(functions: FunctionHost, name: string, kind: string, source: string): void {
  try {
    functions.check(source);
  } catch (error) {
    if (!(error instanceof FunctionFailure)) throw error;
    throw new BadRequest(
      `Compilation of the ${kind} function in the '${name}' view failed: ${error.message}`,
      'compilation_error',
    );
  }
}

function invalid(reason: string): BadRequest {
  return new BadRequest(reason, 'invalid_design_doc');
}
