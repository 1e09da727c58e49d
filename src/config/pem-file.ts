// Reads certificates and private keys from PEM files.
import { readFileSync } from 'node:fs';

/**
 * Returns the text of a PEM file. Throws an Error that names the setting and the file, never its content. An
 * empty file is not passed on: without a CA, Node trusts every CA of its own list (H40.3).
 */
export function readPem(setting: string, path: string, kind: 'CERTIFICATE' | 'PRIVATE KEY'): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new Error(`${setting}: ${path} cannot be read (${code})`, { cause: error });
  }
  const begins = text.match(/-----BEGIN [A-Z0-9 ]+-----/g) ?? [];
  const ends = text.match(/-----END [A-Z0-9 ]+-----/g) ?? [];
  if (!begins.some((line) => line.endsWith(`${kind}-----`)))
    throw new Error(`${setting}: ${path} has no ${kind.toLowerCase()} in PEM form`);
  if (begins.length !== ends.length) throw new Error(`${setting}: ${path} is not complete`);
  return text;
}
