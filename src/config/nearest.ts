// Finds the known name that is most similar to an unknown one, for "did you mean".

/**
 * Returns the entry of `known` with the smallest edit distance to `name`, or undefined if more than a third
 * of the characters differ.
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance. `left` is cut to 64 characters: a longer name matches nothing. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, 64);
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i += 1) {
    const row = [i + 1];
    for (let j = 0; j < right.length; j += 1) {
      const replaced = (previous[j] ?? 0) + (a[i] === right[j] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[right.length] ?? 0;
}
