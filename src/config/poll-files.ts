// Detects changes of files by polling their metadata.
import { statSync, type BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';

/**
 * Returns a debounce function. Call it with each polled state; it returns true if the state changed and was
 * the same in two polls. A file that is still being written is therefore not read: half a whitelist can be
 * valid.
 */
export function settling(first: string): (seen: string) => boolean {
  let acted = first;
  let last = first;
  return (seen) => {
    const settled = seen !== acted && seen === last;
    last = seen;
    if (settled) acted = seen;
    return settled;
  };
}

/**
 * Polls the files every `intervalMs` and calls `onChange` after a change, also if a symbolic link has a new
 * target. The timer does not keep the process alive.
 */
export function pollFiles(
  files: () => readonly string[],
  intervalMs: number,
  onChange: () => unknown,
): { readonly close: () => void } {
  let closed = false;
  // Synchronous, so that every later change is detected.
  const hasSettled = settling(files().map(stateNow).join('\n'));
  const poll = async (): Promise<void> => {
    const seen = (await Promise.all(files().map(stateOf))).join('\n');
    if (closed) return;
    if (hasSettled(seen)) onChange();
    setTimeout(() => void poll(), intervalMs).unref();
  };
  void poll();
  return { close: () => void (closed = true) };
}

async function stateOf(path: string): Promise<string> {
  try {
    return describe(await stat(path, { bigint: true }));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}

function stateNow(path: string): string {
  try {
    return describe(statSync(path, { bigint: true }));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}

/** Inode, size and times of the target of a path, after symbolic links. */
function describe({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}
