// Escapes the characters of foreign texts that a terminal obeys, in the JSON lines of the logs (H37).

/**
 * C1 controls, separators of lines, and the controls of writing direction. JSON.stringify escapes C0 controls
 * only.
 */
const CONTROLS = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Returns the JSON with the same value, and with an escape for each character that a terminal obeys. */
export function withoutControls(json: string): string {
  return json.replace(CONTROLS, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
