// Notices that files have changed, by looking at their state again and again. What is done then is reload.ts's business.
import { statSync, type BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';

/**
 * Tells when a state has changed and then stayed for one look: a file that somebody is still writing is not read, for half a whitelist may be a good
 * one. Called with what each look sees; true = act now.
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

/** Calls `onChange` when the files have changed, also when a symbolic link to one leads elsewhere now. Holds no process open. */
export function pollFiles(
  files: () => readonly string[],
  intervalMs: number,
  onChange: () => unknown,
): { readonly close: () => void } {
  let closed = false;
  // At once, so that nothing is missed that is written after this call.
  const hasSettled = settling(files().map(stateNow).join('\n'));
  const look = async (): Promise<void> => {
    const seen = (await Promise.all(files().map(stateOf))).join('\n');
    if (closed) return;
    if (hasSettled(seen)) onChange();
    setTimeout(() => void look(), intervalMs).unref();
  };
  void look();
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

/** Identity, size and time of what a name leads to, through symbolic links. */
function describe({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}
