// Patterns of database names, as the setting `adopt`, `setup --adopt` and `backup` take them.

/**
 * True if the name fits the pattern; each `*` stands for any characters, also none. It compares without a
 * regular expression: a pattern must not cost exponential time.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return pattern === name;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
