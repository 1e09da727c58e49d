// Recognizes JSON objects and copies them without named members.

/** A JSON object. */
export type Json = Record<string, unknown>;

/** Whether a value is a JSON object, not an array and not null. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A shallow copy without the named members. */
export function without<T extends object, K extends string>(object: T, ...names: K[]): Omit<T, K> {
  const remaining = Object.entries(object).filter(([name]) => !(names as string[]).includes(name));
  return Object.fromEntries(remaining) as Omit<T, K>;
}
