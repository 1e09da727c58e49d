// H37: no text of a client controls the terminal of whoever reads the access log or the operational log.
import assert from 'node:assert/strict';
import { type IncomingMessage } from 'node:http';
import { type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { ConnectionFacts } from '../../src/audit/connection.ts';
import { accessLine } from '../../src/audit/line.ts';
import { createOperationalLog } from '../../src/audit/operational-log.ts';
import { Context, type CutReason } from '../../src/context.ts';

/** Clears the screen, turns the writing direction, and begins lines of its own. */
const HOSTILE = 'x\u001b[2J\u009b1A\u007f\r\n\u0085\u2028\u2029\u202e\u2066\u200fFORGED';
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

describe('H37 a log line', () => {
  it('has no sign that a terminal obeys, in any field of the access log', () => {
    const context = new Context();
    const { outcome } = context;
    context.client = { ip: HOSTILE, port: 99, secure: true, schemeKnown: false, mayAdminister: true };
    context.target = { segments: ['db'], path: `/${HOSTILE}`, query: `?a=${HOSTILE}` };
    context.identified = { principal: { kind: 'key', name: HOSTILE }, method: 'basic' };
    context.upstream.node = HOSTILE;
    outcome.refuseLogin({ name: HOSTILE, reason: 'locked' });
    // Whatever its type says, no field is trusted.
    outcome.cut(HOSTILE as CutReason);
    outcome.failure = HOSTILE;
    outcome.change = { [HOSTILE]: [HOSTILE, { roles: HOSTILE }] };
    const line = accessLine({
      context,
      req: { method: HOSTILE, url: '/', headers: { 'user-agent': HOSTILE } } as unknown as IncomingMessage,
      status: 200,
      termination: '--',
      connection: new ConnectionFacts({ remoteAddress: HOSTILE } as unknown as Socket),
      bytesRead: 1,
      bytesUploaded: 1,
      endedAt: context.startedAt,
    });
    assert.doesNotMatch(line.slice(0, -1), CONTROLS);
    assert.equal(line.split('FORGED').length > 10, true);
    assert.deepEqual((JSON.parse(line) as { change: unknown }).change, outcome.change);
  });

  it('has none in the operational log, and keeps its values', () => {
    const lines: string[] = [];
    const log = createOperationalLog('info', { write: (line) => lines.push(line) });
    log.warn({ database: HOSTILE, err: new Error(HOSTILE) }, HOSTILE);
    const [line = ''] = lines;
    assert.equal(lines.length, 1);
    assert.doesNotMatch(line.slice(0, -1), CONTROLS);
    assert.equal((JSON.parse(line) as { database: string }).database, HOSTILE);
  });
});
