// Counts turns of the event loop: other requests run in them, whatever the speed of the machine.

/** Counts turns of the event loop until the result is called, which returns the number. */
export function countTurns(): () => number {
  let turns = 0;
  let runs = true;
  const count = (): void => {
    turns += 1;
    if (runs) setImmediate(count);
  };
  setImmediate(count);
  return () => {
    runs = false;
    return turns;
  };
}
