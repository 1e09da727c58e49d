// Asks a person at a terminal for a password, without showing what is typed.
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

/** Undefined where there is nobody to ask: then the password has to come from a file or the environment. */
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
