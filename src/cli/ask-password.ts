// Prompts for a password on the terminal without echo.
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

/** Undefined without a terminal: the password must then come from a file or the environment. */
export const askPassword = process.stdin.isTTY
  ? async (question: string): Promise<string> => {
      process.stderr.write(question);
      const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
      const reader = createInterface({ input: process.stdin, output: silent, terminal: true });
      try {
        return await reader.question('');
      } finally {
        reader.close();
        process.stderr.write('\n');
      }
    }
  : undefined;
