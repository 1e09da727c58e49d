// Reads and checks the condition of a change of permissions: If-Match or `?rev=`.
import { BadRequest, PreconditionFailed } from '../http-errors.ts';
import { type Precondition, type RevisionName } from './change.ts';

const FORM = /^[0-9a-f]{1,32}\.[0-9]{1,16}$/;
const ENTITY_TAG = /^(?:W\/)?"([^"]*)"$/;
const MAX_TAGS = 16;

/** The name of a state as clients see it: in ETag, X-Couchgate-Revision, If-Match and `?rev=`. */
export function textOfRevision({ generation, revision }: RevisionName): string {
  return `${generation}.${revision}`;
}

/**
 * Reads the condition of a request; `undefined` = none. A weak tag counts as the strong one: proxies weaken
 * tags when they compress, and the tag names a state, not bytes. Throws 400 for anything else than a list of
 * tags or `*`, and if both are given and differ. RFC 9110 §13.1.1
 */
export function preconditionOf(ifMatch: string | undefined, rev: string | null): Precondition | undefined {
  const fromHeader = ifMatch === undefined ? undefined : readIfMatch(ifMatch);
  if (rev === null) return fromHeader;
  if (!FORM.test(rev)) throw new BadRequest('`rev` must be the value of X-Couchgate-Revision');
  if (fromHeader !== undefined && (fromHeader === 'any' || fromHeader.length !== 1 || fromHeader[0] !== rev))
    throw new BadRequest('If-Match and `rev` have different values');
  return [rev];
}

function readIfMatch(value: string): Precondition {
  if (value.trim() === '*') return 'any';
  const tags = value.split(',').map((tag) => ENTITY_TAG.exec(tag.trim())?.[1]);
  if (tags.length > MAX_TAGS || tags.some((tag) => tag === undefined))
    throw new BadRequest('If-Match must be the ETag of the security object, or *');
  return tags.filter((tag) => tag !== undefined);
}

/** Throws 412 if the state in force is not one that the condition names. */
export function refuseOtherRevision(condition: Precondition | undefined, inForce: RevisionName): void {
  if (condition === undefined || condition === 'any') return;
  if (condition.includes(textOfRevision(inForce))) return;
  throw new PreconditionFailed(
    'The permissions have changed since the revision that the request names.',
    inForce.revision,
  );
}
