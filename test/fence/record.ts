// Sends one request and writes down what CouchDB got, what the client got, and the line of the access log, with everything masked that is
// another one in every run.
import { createHash } from 'node:crypto';
import net from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { type PolicyFront, type Reached } from '../support/policy-front.ts';
import { until } from '../support/until.ts';
import { type FenceRequest } from './request.ts';

export interface FenceRecord {
  readonly request: string;
  readonly upstream: readonly object[];
  readonly client: { readonly status: string; readonly headers: readonly string[]; readonly body: string };
  readonly log: readonly object[];
}

/** A longer body is told by its length and digest. */
const MAX_BODY = 2000;
/** A connection that the server keeps open is left when it has been silent for so long. */
const SILENCE_MS = 500;
const MAX_SILENCE_MS = 10_000;

/** `answered` gets the answer as it came. */
export async function record(
  front: PolicyFront,
  { name, bytes }: FenceRequest,
  answered: (answer: string) => void = () => undefined,
): Promise<FenceRecord> {
  const answer = await exchange(front.port, bytes);
  answered(answer);
  // The line of the access log is written when the connection is over.
  await until(async () => (await front.connections()) === 0, `the connections of ${name} are closed`);
  await turn();
  await turn();
  const headEnd = answer.indexOf('\r\n\r\n');
  const [status = '', ...headers] = answer.slice(0, headEnd).split('\r\n');
  return {
    request: name,
    upstream: front.takeAll().map(upstreamRecord),
    client: { status, headers: headers.map(masked), body: bodyText(answer.slice(headEnd + 4)) },
    log: front.takeLines().map(logRecord),
  };
}

function exchange(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let received = '';
    socket.setEncoding('latin1');
    socket.setTimeout(MAX_SILENCE_MS, () => socket.destroy());
    socket.on('data', (chunk) => {
      received += String(chunk);
      socket.setTimeout(SILENCE_MS);
    });
    socket.once('close', () => resolve(received));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.write(bytes);
  });
}

function upstreamRecord({ method, url, rawHeaders, claims, body }: Reached): object {
  const headers: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const isToken = name.toLowerCase() === 'authorization' && claims !== undefined;
    headers.push(
      `${name}: ${isToken ? JSON.stringify({ ...claims, exp: '<time>' }) : (rawHeaders[at + 1] ?? '')}`,
    );
  }
  return {
    method,
    target: masked(url),
    headers: headers.map(masked),
    body: bodyText(body.toString('latin1')),
  };
}

function bodyText(text: string): string {
  if (text.length <= MAX_BODY) return masked(text);
  return `${text.length} bytes, sha256 ${createHash('sha256').update(text, 'latin1').digest('hex')}`;
}

function logRecord(line: Readonly<Record<string, unknown>>): object {
  const timings = Object.keys(line['timings'] as object);
  const shown = { ...line, time: '<time>', clientPort: '<port>', timings };
  return JSON.parse(masked(JSON.stringify(shown))) as object;
}

const MASKS: readonly (readonly [pattern: RegExp, mask: string])[] = [
  [/\b(date): [A-Z][a-z]{2}, [^\r]* GMT/gi, '$1: <date>'],
  [/\b[0-9a-f]{20}\b/g, '<request id>'],
  [/127\.0\.0\.1:\d+/g, '127.0.0.1:<port>'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '<time>'],
  [/AuthSession=[\w.~-]{20,}/g, 'AuthSession=<session>'],
  [/(\\?"(?:key|password|name)\\?":\\?")[a-z]{24}(?=\\?")/g, '$1<key>'],
  [/("key":"<key>","password":")[^"]+/g, '$1<password>'],
  [/expires=[^;]+GMT/gi, 'expires=<date>'],
];

function masked(text: string): string {
  return MASKS.reduce((shown, [pattern, mask]) => shown.replace(pattern, mask), text);
}
