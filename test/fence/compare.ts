// Tells in what two recordings differ, request by request.

type Recording = ReadonlyMap<string, unknown>;

export function parseRecording(text: string): Recording {
  const records = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly request: string });
  return new Map(records.map((record) => [record.request, record]));
}

/** A paragraph for each request that only one of them has, or whose records differ. */
export function differences(before: Recording, after: Recording): readonly string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].flatMap((name) => {
    if (!after.has(name)) return [`- ${name}`];
    if (!before.has(name)) return [`+ ${name}`];
    const found = differingParts(before.get(name), after.get(name), '');
    return found.length === 0 ? [] : [[`* ${name}`, ...found].join('\n')];
  });
}

function differingParts(before: unknown, after: unknown, path: string): readonly string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (!isObject(before) || !isObject(after))
    return [`    ${path}\n    - ${JSON.stringify(before)}\n    + ${JSON.stringify(after)}`];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const parts = [...names].flatMap((name) =>
    differingParts(before[name], after[name], path === '' ? name : `${path}.${name}`),
  );
  return parts.length > 0 ? parts : [`    ${path}: another order of fields`];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
