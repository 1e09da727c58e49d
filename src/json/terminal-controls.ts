// Names the characters beyond ASCII that a terminal obeys, for the logs and for the output of commands (H37).

/**
 * C1 controls, separators of lines, and the controls of writing direction, for a character class. Without C0
 * controls: JSON escapes them, and output may have some of them.
 */
export const TERMINAL_CONTROLS = String.raw`\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069`;

/** The escape of JSON for one code unit: in JSON and in a quoted YAML string the value stays the same. */
export function jsonEscapeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
