// Validates the fields of API-key requests: label, expiry and overlap.
import { type JsonObject } from '../json/object.ts';
import { BadRequest } from '../http-errors.ts';

export interface KeyFields {
  readonly label?: string | null;
  /** ISO 8601 in UTC. */
  readonly expiresAt?: string | null;
}

const MAX_LABEL_LENGTH = 256;
/** 30 days: a longer overlap would defeat the rotation. */
const MAX_OVERLAP_SECONDS = 2_592_000;
/** RFC 3339. The offset is required: without it, the time would depend on the time zone of the server. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/u;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u;

/**
 * Parses the fields of a new or changed key; absent fields stay absent. Throws BadRequest with the name of
 * the field. `others` are fields that the body may have too.
 */
export function parseKeyFields(body: JsonObject, others: readonly string[] = []): KeyFields {
  refuseUnknown(body, ['label', 'expires_at', ...others]);
  const { label, expires_at: expiresAt } = body;
  return {
    ...(label === undefined ? {} : { label: parseLabel(label) }),
    ...(expiresAt === undefined ? {} : { expiresAt: parseMoment(expiresAt) }),
  };
}

/** Parses the overlap of a rotation; the default is `usualSeconds`. Throws BadRequest. */
export function parseOverlap(body: JsonObject, usualSeconds: number): number {
  refuseUnknown(body, ['overlap_seconds']);
  const { overlap_seconds: seconds = usualSeconds } = body;
  if (!Number.isInteger(seconds) || Number(seconds) < 0 || Number(seconds) > MAX_OVERLAP_SECONDS) {
    throw new BadRequest(`\`overlap_seconds\` must be a whole number from 0 to ${MAX_OVERLAP_SECONDS}`);
  }
  return Number(seconds);
}

function parseLabel(label: unknown): string | null {
  if (label === null) return null;
  if (typeof label !== 'string' || label.length > MAX_LABEL_LENGTH || CONTROL.test(label)) {
    throw new BadRequest(
      `\`label\` must be a string of at most ${MAX_LABEL_LENGTH} characters without line breaks, or null`,
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

/** Refuses unknown fields: a misspelt `expires_at` must not create a key without expiry. */
function refuseUnknown(body: JsonObject, known: readonly string[]): void {
  const unknown = Object.keys(body).find((field) => !known.includes(field));
  if (unknown !== undefined) {
    throw new BadRequest(`Unknown field ${JSON.stringify(unknown)}; allowed: ${known.join(', ')}`);
  }
}
