// Names the endpoints that classify/ never chooses.
import { type EndpointId } from '../../src/catalogue/catalogue.ts';

/**
 * Endpoints that no target has: authorize applies them in place of `users-any`, by the caller and the
 * settings.
 */
export const OF_ONE_USER: ReadonlySet<string> = new Set<EndpointId>([
  'users-own-read',
  'users-own-write',
  'users-sign-up',
]);
