// Tells JSON objects from other values.

export type JsonObject = Readonly<Record<string, unknown>>;

/** True for a JSON object; false for an array and for null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
