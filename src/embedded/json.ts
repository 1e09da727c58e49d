// What a JSON object is, and how one is copied without some of its members.

export type Json = Record<string, unknown>;

/** Whether a value is a JSON object: no list, no null. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A copy without the named members. */
export function without<T extends object, K extends string>(object: T, ...names: K[]): Omit<T, K> {
  const left = Object.entries(object).filter(([name]) => !(names as string[]).includes(name));
  return Object.fromEntries(left) as Omit<T, K>;
}
