// Waits before a change that met another one is tried again.
import { setTimeout as delay } from 'node:timers/promises';

const FIRST_MS = 20;
const MAX_PAUSE_MS = 500;

/** Resolves after a random while, which grows with the number of attempts: writers that collide part ways. */
export async function randomPause(attempt: number): Promise<void> {
  await delay(Math.random() * Math.min(FIRST_MS * 2 ** attempt, MAX_PAUSE_MS));
}
