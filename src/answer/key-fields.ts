// Checks what an owner writes about an API key: label, end and overlap. What is done with it is api-keys.ts's business.
import { BadRequest } from '../http-errors.ts';
import { type JsonObject } from '../body/parse.ts';

export interface KeyFields {
  readonly label?: string | null;
  /** ISO 8601 in UTC. */
  readonly expiresAt?: string | null;
}

const LONGEST_LABEL = 256;
/** 30 days: an old password that is good for longer was never rotated. */
const LONGEST_OVERLAP_SECONDS = 2_592_000;
/** RFC 3339: a date without an offset would mean another moment on every machine. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/u;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u;

/** The fields of a new or changed key; absent ones stay absent. Throws BadRequest naming the field. */
export function parseKeyFields(body: JsonObject): KeyFields {
  refuseUnknown(body, ['label', 'expires_at']);
  const { label, expires_at: expiresAt } = body;
  return {
    ...(label === undefined ? {} : { label: parseLabel(label) }),
    ...(expiresAt === undefined ? {} : { expiresAt: parseMoment(expiresAt) }),
  };
}

/** The overlap of a rotation, or the usual one. Throws BadRequest. */
export function parseOverlap(body: JsonObject, usualSeconds: number): number {
  refuseUnknown(body, ['overlap_seconds']);
  const { overlap_seconds: seconds = usualSeconds } = body;
  if (!Number.isInteger(seconds) || Number(seconds) < 0 || Number(seconds) > LONGEST_OVERLAP_SECONDS) {
    throw new BadRequest(`\`overlap_seconds\` must be a whole number from 0 to ${LONGEST_OVERLAP_SECONDS}`);
  }
  return Number(seconds);
}

function parseLabel(label: unknown): string | null {
  if (label === null) return null;
  if (typeof label !== 'string' || label.length > LONGEST_LABEL || CONTROL.test(label)) {
    throw new BadRequest(
      `\`label\` must be a text of at most ${LONGEST_LABEL} characters on one line, or null`,
    );
  }
  return label;
}

function parseMoment(value: unknown): string | null {
  if (value === null) return null;
  const time = typeof value === 'string' && RFC_3339.test(value) ? Date.parse(value) : NaN;
  if (Number.isNaN(time)) {
    throw new BadRequest('`expires_at` must be a time such as 2030-01-31T12:00:00Z, or null');
  }
  return new Date(time).toISOString();
}

/** A misspelt `expires_at` must not make a key without end. */
function refuseUnknown(body: JsonObject, known: readonly string[]): void {
  const unknown = Object.keys(body).find((field) => !known.includes(field));
  if (unknown !== undefined) {
    throw new BadRequest(`${JSON.stringify(unknown)} is not a field here; known: ${known.join(', ')}`);
  }
}
