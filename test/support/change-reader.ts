// Stands for what a ChangeReader writes to, in tests of how it reads.
import { Chain } from '../../src/backup/chain.ts';
import type { LeafWriter } from '../../src/backup/leaf-writer.ts';
import { FULL_SPEED } from '../../src/backup/pace.ts';

type Add = (documents: readonly { readonly id: string; readonly bytes: number }[]) => void;

/** The parts of a reader of a new backup that keeps nothing. `add` is called with what would be written. */
export function newBackup(add: Add = () => undefined) {
  const writer = {
    bytes: 0,
    documents: 0,
    add: (documents: Parameters<Add>[0]) => {
      add(documents);
      return Promise.resolve();
    },
    endBatch: () => Promise.resolve({ finish: () => Promise.resolve(undefined) }),
  } as unknown as LeafWriter;
  const ignore = (): void => undefined;
  const events = { onProgress: ignore, onProblem: ignore };
  return { writer, chain: new Chain([]), pace: FULL_SPEED, signal: undefined, ...events };
}
