// Polls a condition that another process or a later turn of the event loop makes true.

/**
 * A loaded machine does not reach this limit. It is below the runner's limit for a file: the failure names
 * the condition.
 */
const LIMIT_MS = 120_000;

/** Polls until `isSo` is true. Rejects after two minutes with the name of the condition. */
export async function until(isSo: () => boolean | Promise<boolean>, what = String(isSo)): Promise<void> {
  const deadline = Date.now() + LIMIT_MS;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`timed out waiting for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Waits for a promise. Rejects after two minutes with the name of what is missing. */
export async function within<T>(awaited: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`this never came: ${what}`)), LIMIT_MS);
  });
  try {
    return await Promise.race([awaited, limit]);
  } finally {
    clearTimeout(timer);
  }
}
