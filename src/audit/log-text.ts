// Escapes the characters of foreign texts that a terminal obeys, in the JSON lines of the logs (H37).
import { jsonEscapeOf, TERMINAL_CONTROLS } from '../json/terminal-controls.ts';

const CONTROLS = new RegExp(`[${TERMINAL_CONTROLS}]`, 'g');

/** Returns the JSON with the same value, and with an escape for each character that a terminal obeys. */
export function withoutControls(json: string): string {
  return json.replace(CONTROLS, jsonEscapeOf);
}
