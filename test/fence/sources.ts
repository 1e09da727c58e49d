// Requests of the matrix and of the hostile tests.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readTable, spelled } from '../matrix/table.ts';
import { CALLER_HEADER } from '../support/policy-front.ts';
import { bytesOf, type FenceRequest } from './request.ts';

export const HOSTILE_FILE = join(import.meta.dirname, 'hostile.jsonl');

/** Every line of the matrix for every caller. */
export function matrixRequests(): readonly FenceRequest[] {
  return readTable().flatMap(({ request, cells }) => {
    const { method, target, destination, body, type } = spelled(request);
    return [...cells.keys()].map((caller) => ({
      name: `matrix: ${request} as ${caller}`,
      bytes: bytesOf({
        line: `${method} ${target}`,
        headers: [
          ...(caller === 'nobody' ? [] : [`${CALLER_HEADER}: ${caller}`]),
          ...(destination === undefined ? [] : [`Destination: ${destination}`]),
          ...(type === undefined ? [] : [`Content-Type: ${type}`]),
        ],
        ...(body === undefined ? {} : { body: Buffer.from(body) }),
      }),
    }));
  });
}

/**
 * What the hostile tests send, kept in hostile.jsonl, one JSON text of Latin-1 a line. Requests that name no caller are sent by the owner
 * as well: most of them would end at 401 otherwise.
 */
export function hostileRequests(): readonly FenceRequest[] {
  const lines = readFileSync(HOSTILE_FILE, 'utf8').trimEnd().split('\n');
  return lines.flatMap((line, index) => {
    const text = JSON.parse(line) as string;
    const name = `hostile ${index + 1}: ${text.slice(0, text.indexOf('\r\n')).slice(0, 200)}`;
    const asItIs = { name, bytes: Buffer.from(text, 'latin1') };
    if (text.includes(`${CALLER_HEADER}:`)) return [asItIs];
    const owned = text.replace('\r\n', `\r\n${CALLER_HEADER}: owner\r\n`);
    return [asItIs, { name: `${name} as owner`, bytes: Buffer.from(owned, 'latin1') }];
  });
}
