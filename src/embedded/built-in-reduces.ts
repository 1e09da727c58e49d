// Implements CouchDB's built-in reduce functions _sum, _count and _stats.
import { HttpError } from '../http-errors.ts';
import { isObject } from './json.ts';

type Reduce = (values: readonly unknown[]) => unknown;

/**
 * The built-in function of this name; undefined for a source that is not a built-in name. Calls throw 500.
 */
export function builtInReduce(source: string): Reduce | undefined {
  return REDUCES.get(source.trim());
}

const REDUCES: ReadonlyMap<string, Reduce> = new Map([
  ['_count', (values: readonly unknown[]) => values.length],
  ['_sum', (values: readonly unknown[]) => values.reduce((total, value) => sumOf(total, value), 0)],
  ['_stats', stats],
]);

/**
 * Adds numbers; adds arrays by element and objects by member. docs.couchdb.org/en/stable/ddocs/ddocs.html#sum
 */
function sumOf(left: unknown, right: unknown): unknown {
  if (typeof left === 'number' && typeof right === 'number') return left + right;
  if (Array.isArray(left) || Array.isArray(right)) {
    const [a, b] = [asArray(left), asArray(right)];
    return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => sumOf(a[i] ?? 0, b[i] ?? 0));
  }
  if (left === 0 && isObject(right)) return right;
  if (isObject(left) && isObject(right)) {
    const sum = new Map(Object.entries(left));
    for (const [name, value] of Object.entries(right))
      sum.set(name, sum.has(name) ? sumOf(sum.get(name), value) : value);
    return Object.fromEntries(sum);
  }
  throw notNumbers('_sum');
}

function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [value];
}

function stats(values: readonly unknown[]): object {
  const result = { sum: 0, count: 0, min: Infinity, max: -Infinity, sumsqr: 0 };
  for (const value of values) {
    if (typeof value !== 'number') throw notNumbers('_stats');
    result.sum += value;
    result.count += 1;
    result.min = Math.min(result.min, value);
    result.max = Math.max(result.max, value);
    result.sumsqr += value * value;
  }
  return result;
}

function notNumbers(name: string): HttpError {
  return new HttpError(
    500,
    'builtin_reduce_error',
    `The ${name} function requires that map values be numbers.`,
  );
}
