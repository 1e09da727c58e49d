// Reads test/matrix/expected.md: requests for every row of the catalogue, and what each kind of caller gets.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Line {
  readonly row: string;
  readonly request: string;
  /** What each caller gets, by caller. */
  readonly cells: ReadonlyMap<string, string>;
}

export function readTable(): readonly Line[] {
  const table = readFileSync(join(import.meta.dirname, 'expected.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const [header = [], , ...lines] = table;
  const callers = header.slice(2);
  return lines.map(([row = '', request = '', ...cells]) => ({
    row,
    request: request.replaceAll('`', '').replaceAll('\\|', '|'),
    cells: new Map(callers.map((caller, index) => [caller, cells[index] ?? ''])),
  }));
}

export interface Spelled {
  readonly method: string;
  readonly target: string;
  readonly destination: string | undefined;
  readonly body: string | undefined;
  readonly type: string | undefined;
}

/** `POST /db {"a":1}`, `COPY /db/doc -> copy`, `PUT /db/doc/att x`, `POST /db/doc form`. */
export function spelled(request: string): Spelled {
  const [method = '', target = '', ...rest] = request.split(' ');
  const destination = rest[0] === '->' ? rest[1] : undefined;
  const body = destination === undefined && rest.length > 0 ? rest.join(' ') : undefined;
  return { method, target, destination, body, type: body === undefined ? undefined : typeOf(body) };
}

function typeOf(body: string): string {
  if (body === 'form') return 'multipart/form-data; boundary=b';
  if (body === 'x') return 'application/octet-stream';
  return body.startsWith('database=') ? 'application/x-www-form-urlencoded' : 'application/json';
}
