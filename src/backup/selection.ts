// Remembers which lines of which frames belong to a snapshot, so that packs are read in their own order. It
// needs twelve bytes for each leaf.
import { type IndexedLeaf } from './index-file.ts';
import { type FramePlace } from './pack.ts';

const LINE_BYTES = 12;
const FIRST_LINES = 16;

interface SelectedFrame {
  readonly length: number;
  count: number;
  /** Line number (4 bytes) and the beginning of the content hash (8 bytes). */
  lines: Buffer;
}

export interface SelectedLine {
  readonly line: number;
  /** Hexadecimal beginning of the content hash. */
  readonly hashPrefix: string;
}

export class Selection {
  readonly #packs = new Map<string, Map<number, SelectedFrame>>();

  add({ place, hash }: IndexedLeaf): void {
    let frames = this.#packs.get(place.pack);
    if (frames === undefined) this.#packs.set(place.pack, (frames = new Map<number, SelectedFrame>()));
    let frame = frames.get(place.offset);
    if (frame === undefined) {
      frame = { length: place.length, count: 0, lines: Buffer.alloc(LINE_BYTES * FIRST_LINES) };
      frames.set(place.offset, frame);
    }
    if (frame.count * LINE_BYTES === frame.lines.length)
      frame.lines = Buffer.concat([frame.lines, Buffer.alloc(frame.lines.length)]);
    const at = frame.count * LINE_BYTES;
    frame.lines.writeUInt32BE(place.line, at);
    frame.lines.write(hash.slice(0, 16), at + 4, 'hex');
    frame.count += 1;
  }

  /** Every frame with its selected lines, pack by pack, in the order of the packs. */
  *frames(): Generator<{ readonly place: FramePlace; readonly lines: readonly SelectedLine[] }> {
    for (const [pack, frames] of this.#packs) {
      const sorted = [...frames].sort(([a], [b]) => a - b);
      for (const [offset, { length, count, lines }] of sorted)
        yield {
          place: { pack, offset, length },
          lines: Array.from({ length: count }, (_, number) => ({
            line: lines.readUInt32BE(number * LINE_BYTES),
            hashPrefix: lines.toString('hex', number * LINE_BYTES + 4, (number + 1) * LINE_BYTES),
          })),
        };
    }
  }
}
