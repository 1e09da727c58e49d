// Waits for something that another process or a later turn of the event loop will bring about.

/** Asks again and again until `isSo` says yes; rejects after `timeoutMs`, so that a test names what never happened. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what = String(isSo),
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`this never became true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
