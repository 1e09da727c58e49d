// Suggests how to mend a CORS refusal: a trailing slash, another scheme or port, a typo.
import { type CorsSettings } from './cors-rule.ts';
import { nearest } from './nearest.ts';
import { readOrigin } from './value.ts';

/** Returns one sentence without a full stop for an origin that was refused, or undefined. */
export function corsHint(origin: string, { enableCors, origins }: CorsSettings): string | undefined {
  if (!enableCors) return 'set enable_cors: true in cors.yaml';
  try {
    readOrigin(origin);
  } catch (error) {
    return `no browser sends this origin: ${error instanceof Error ? error.message : ''}`;
  }
  const near = nearest(origin, origins);
  return near === undefined ? undefined : `the list contains ${near}; origins must match exactly`;
}
