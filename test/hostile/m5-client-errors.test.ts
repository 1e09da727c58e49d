// M5: an error of nano holds the request with its body and headers. None of it may leave src/couch/.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { createCouch } from '../../src/couch/client.ts';
import { startProgram, temporaryFolder } from '../support/program.ts';
import { answerJson, startScriptedNode, type Script } from '../support/scripted-node.ts';

const CANARY = 'canary-correct-horse';

const TROUBLE: readonly (readonly [string, Script])[] = [
  ['breaks the connection', (_, res) => res.destroy()],
  [
    'answers 500 and repeats the request',
    ({ body, headers }, res) => answerJson(res, 500, { error: 'x', reason: body, headers }),
  ],
  [
    'answers 400 and repeats the request',
    ({ body, headers }, res) => answerJson(res, 400, { error: 'x', reason: 'y', body, headers }),
  ],
  ['answers nothing', () => undefined],
  ['answers what is not JSON', ({ body }, res) => res.writeHead(500).end(body)],
];

/** Two faults at a signal: a rejection and an exception that nothing handles. */
const FAULT = `data:text/javascript,process.on('SIGUSR2', () => {
  const error = Object.assign(new TypeError('broken'), { request: { headers: { authorization: process.env.CANARY } } });
  if (process.env.FAULT === 'rejection') Promise.reject(error); else throw error;
})`;

describe('an error that nothing handles (M5)', () => {
  for (const fault of ['rejection', 'exception'])
    it(`ends the process with a line that has no field of it – ${fault}`, async () => {
      const folder = temporaryFolder();
      const program = startProgram({
        COUCHGATE_DATA: folder.path,
        COUCHGATE_CONFIG: folder.path,
        NODE_OPTIONS: `--import=${FAULT.replaceAll(/\s+/g, '%20')}`,
        FAULT: fault,
        CANARY,
      });
      try {
        await program.url;
        program.child.kill('SIGUSR2');
        assert.equal(await program.ended, 1);
        assert.match(
          program.stderr(),
          /"name":"TypeError","message":"broken".*an error that nothing handles/,
        );
        assert.doesNotMatch(program.stderr() + program.stdout(), new RegExp(CANARY));
      } finally {
        program.child.kill('SIGKILL');
        folder.remove();
      }
    });
});

describe('a failed exchange with CouchDB (M5)', () => {
  for (const [title, script] of TROUBLE) {
    it(`holds nothing of the request when CouchDB ${title}`, async () => {
      const node = await startScriptedNode(script);
      const reports: unknown[] = [];
      const couch = createCouch({
        pickNode: (tried) => (tried.has(node.url) ? undefined : node),
        authorization: () => `Bearer ${CANARY}`,
        nodeFailed: (...failure) => reports.push(failure),
        connectTimeoutMs: 5000,
        // Only the node that says nothing is waited for; the others must have the time to receive the request.
        requestTimeoutMs: title === 'answers nothing' ? 2000 : 10_000,
      });
      try {
        for (const headers of [undefined, { authorization: `Basic ${CANARY}` }]) {
          const outcome: unknown = await couch
            .ask({
              method: 'PUT',
              path: `/_users/${CANARY}`,
              body: { password: CANARY },
              ...(headers === undefined ? {} : { headers }),
            })
            .catch((error: unknown) => error);
          reports.push(outcome, outcome instanceof Error ? [outcome.cause, outcome.stack] : undefined);
        }
        assert.equal(node.received.length, 2);
        assert.equal(
          node.received.every(({ body }) => body.includes(CANARY)),
          true,
        );
        assert.doesNotMatch(inspect(reports, { depth: Infinity, showHidden: true }), new RegExp(CANARY));
      } finally {
        await Promise.all([couch.close(), node.close()]);
      }
    });
  }
});
