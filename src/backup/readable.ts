// Reads everything that a snapshot needs and checks its hashes, before something depends on it.
import { readAttachment } from './attachment-store.ts';
import { Chain } from './chain.ts';
import { checkedLine, PackReader } from './pack.ts';
import { type Repository } from './repository.ts';
import { Selection } from './selection.ts';
import { type Snapshot } from './snapshot.ts';

/** Throws `Damaged` if a document or an attachment of the snapshot cannot be read as it was written. */
export async function requireReadable(repository: Repository, snapshot: Snapshot): Promise<void> {
  const chain = await Chain.open(repository, snapshot.index, { check: true });
  const selection = new Selection();
  const attachments = new Set<string>();
  for await (const { leaves } of chain.entries())
    for (const leaf of leaves) {
      selection.add(leaf);
      for (const { sha256 } of leaf.attachments) attachments.add(sha256);
    }
  const packs = new PackReader(repository);
  for (const { place, lines } of selection.frames()) {
    const frame = await packs.frame(place);
    for (const { line, hashPrefix } of lines) checkedLine(frame[line], hashPrefix, `pack ${place.pack}`);
  }
  for (const sha256 of attachments) await drained(readAttachment(repository, sha256));
}

/** Reads a stream to its end, which checks its hash. Returns the bytes. */
export async function drained(content: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const chunk of content) bytes += chunk.length;
  return bytes;
}
