// Makes text that others wrote harmless for a terminal. A document, a repository, a log or an answer can
// contain control sequences, which move the cursor, hide lines or fake them (H37).
import { type CommandIo, type Output } from './command.ts';

/* eslint-disable no-control-regex */
/** C0 and C1 controls, separators of lines, and the controls of writing direction. */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
/** The same without line feed and tab. */
const CONTROLS_OF_OUTPUT = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
/* eslint-enable no-control-regex */

/** Returns a text of another as a part of one line. */
export function printable(text: string): string {
  return text.replace(CONTROLS, '?');
}

/**
 * Returns output without control characters. Each becomes its escape of JSON: in JSON and in a quoted YAML
 * string the value stays the same.
 */
export function withoutControls(output: string): string {
  return output.replace(
    CONTROLS_OF_OUTPUT,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Wraps the output of a command, so that no control character reaches a terminal, wherever its text comes
 * from. With `writesData`, standard output that is not a terminal stays as it is: it is the data of the user.
 */
export function harmlessIo(io: CommandIo, writesData = false): CommandIo {
  const stdout = writesData && io.stdout.isTTY !== true ? io.stdout : harmless(io.stdout);
  return { env: io.env, stdin: io.stdin, stdout, stderr: harmless(io.stderr) };
}

function harmless(stream: Output): Output {
  return {
    isTTY: stream.isTTY === true,
    write: (text) => stream.write(withoutControls(text)),
  };
}
