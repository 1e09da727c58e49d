// Composed steps: none is skipped, and no failure counts as success.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { compose } from '../src/compose.ts';

const nothing: unknown = {};
const req = nothing as Request;
const res = nothing as Response;

/**
 * Runs the steps; resolves with the number of those that ran and the error that the composed handler passed
 * on.
 */
async function run(
  steps: readonly RequestHandler[],
): Promise<{ readonly ran: number; readonly left: unknown }> {
  let ran = 0;
  const counted = steps.map((step): RequestHandler => (...request) => {
    ran += 1;
    return step(...request);
  });
  const left = await new Promise<unknown>((resolve) => {
    void compose(counted)(req, res, resolve);
  });
  return { ran, left };
}

const pass: RequestHandler = (_req, _res, next) => next();
const passLater: RequestHandler = (_req, _res, next) => void setImmediate(next);

describe('compose', () => {
  it('runs the steps in order, synchronous or not, and calls next after the last one', async () => {
    assert.deepEqual(await run([pass, passLater, pass]), { ran: 3, left: undefined });
    assert.deepEqual(await run([]), { ran: 0, left: undefined });
  });

  it('stops at a step that answers', () => {
    let reached = false;
    void compose([() => undefined, () => (reached = true)])(req, res, () => (reached = true));
    assert.equal(reached, false);
  });

  const error = new Error('refused');
  const failures: Readonly<Record<string, RequestHandler>> = {
    'passes on an error': (_req, _res, next: NextFunction) => next(error),
    'passes on an error later': (_req, _res, next: NextFunction) => void setImmediate(() => next(error)),
    throws: () => {
      throw error;
    },
    rejects: () => Promise.reject(error),
  };
  for (const [what, failing] of Object.entries(failures))
    it(`passes on the error of a step that ${what}, and skips the steps after it`, async () => {
      assert.deepEqual(await run([pass, failing, pass]), { ran: 2, left: error });
    });

  const SILENT: Readonly<Record<string, RequestHandler>> = {
    throws: () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- what the test is about
      throw undefined;
    },
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what the test is about
    rejects: () => Promise.reject(undefined),
  };
  for (const [what, failing] of Object.entries(SILENT))
    it(`passes on an error when a step ${what} with undefined`, async () => {
      const { ran, left } = await run([failing, pass]);
      assert.equal(ran, 1);
      assert.equal(left instanceof Error, true);
    });
});
