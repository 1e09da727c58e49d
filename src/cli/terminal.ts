// Makes text that others wrote harmless for a terminal. A document, a repository, a log or an answer can
// contain control sequences, which move the cursor, hide lines or fake them (H37).
import { jsonEscapeOf, TERMINAL_CONTROLS } from '../json/terminal-controls.ts';
import { type CommandIo, type Output } from './command.ts';

const CONTROLS = new RegExp(String.raw`[\u0000-\u001f${TERMINAL_CONTROLS}]`, 'g');
/** The same without line feed and tab. */
const CONTROLS_OF_OUTPUT = new RegExp(String.raw`[\u0000-\u0008\u000b-\u001f${TERMINAL_CONTROLS}]`, 'g');

/** Returns a text of another as a part of one line. */
export function printable(text: string): string {
  return text.replace(CONTROLS, '?');
}

/**
 * Returns output without control characters. Each becomes its escape of JSON: in JSON and in a quoted YAML
 * string the value stays the same.
 */
export function withoutControls(output: string): string {
  return output.replace(CONTROLS_OF_OUTPUT, jsonEscapeOf);
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
