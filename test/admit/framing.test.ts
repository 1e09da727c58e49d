// Framing headers that have more than one reading are refused by the step itself, whatever Node's parser does.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Request, type Response } from 'express';
import { refuseAmbiguousFraming } from '../../src/admit/framing.ts';
import { BadRequest } from '../../src/http-errors.ts';

type Line = readonly [name: string, value: string];

/** Runs the step on a request with these header lines; Node joins the values of most repeated ones. */
function step(...lines: readonly Line[]): void {
  const headers = Object.fromEntries(lines.map(([name, value]) => [name.toLowerCase(), value]));
  const req = { method: 'POST', headers, rawHeaders: lines.flat() } as unknown as Request;
  let passed = false;
  void refuseAmbiguousFraming({ maxBodyBytes: 100 })(req, undefined as unknown as Response, () => {
    passed = true;
  });
  assert.equal(passed, true);
}

const REFUSED: readonly (readonly Line[])[] = [
  [
    ['Transfer-Encoding', 'chunked'],
    ['Content-Length', '5'],
  ],
  [
    ['Content-Length', '5'],
    ['transfer-encoding', 'chunked'],
  ],
  [
    ['Content-Length', '5'],
    ['CONTENT-LENGTH', '5'],
  ],
  [
    ['Transfer-Encoding', 'chunked'],
    ['Transfer-Encoding', 'chunked'],
  ],
  [['Transfer-Encoding', 'gzip, chunked']],
  [['Transfer-Encoding', 'identity']],
  [['Content-Length', '+5']],
  [['Content-Length', '0x5']],
  [['Content-Length', '']],
];

describe('ambiguous framing', () => {
  for (const lines of REFUSED) {
    const text = lines.map(([name, value]) => `${name}: ${value}`).join(', ');
    it(`is refused – ${text} – 400`, () => {
      assert.throws(() => step(...lines), BadRequest);
    });
  }

  it('leaves ordinary requests alone', () => {
    step();
    step(['Content-Length', '5']);
    step(['Transfer-Encoding', 'Chunked']);
  });
});
