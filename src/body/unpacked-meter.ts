// Measures what attachments in gzip unpack to while they are streamed: CouchDB unpacks them in memory (H20).
import { createGunzip, type Gunzip } from 'node:zlib';
import { type HttpError, TooLarge } from '../http-errors.ts';
import { InternalReadLimiter } from '../limits/internal-read-limiter.ts';
import { type BodyMeter } from './json-meter.ts';

/** What one body stores may always unpack to so many bytes, and to more only in proportion to its size. */
const FREE_BYTES = 67_108_864;
/** Text packs to a tenth. */
const BYTES_PER_BYTE = 50;
/** deflate makes at most so many bytes out of one. */
const MAX_RATIO = 1032;
const CHUNK_BYTES = 65_536;

/**
 * Pieces that are unpacked at once, half of them for one caller. zlib works in the thread pool of libuv,
 * whose four threads also read files and resolve names.
 */
const pieces = new InternalReadLimiter({ atOnce: 2, waiting: Infinity, share: 1 / 2 });

/** False if so many packed bytes, as Content-Length states them, cannot unpack to more than is permitted. */
export function mayUnpackToTooMuch(length: string | undefined): boolean {
  return length === undefined || Number(length) * MAX_RATIO > FREE_BYTES;
}

/**
 * Measures the packed attachments of one body, one after the other, and keeps nothing of them. CouchDB also
 * stores what is no gzip, and fails when it reads it. It unpacks what comes before the fault, and all members
 * (zlib:gunzip), so that is what counts.
 */
export class UnpackedMeter implements BodyMeter {
  readonly #caller: string;
  #gunzip: Gunzip | undefined;
  #received = 0;
  #unpacked = 0;
  #settle: ((refusal?: HttpError) => void) | undefined;
  #isOver = false;

  /** `caller` is the shared key of the caller (principal/caller.ts). */
  constructor(caller: string) {
    this.#caller = caller;
  }

  /** Resolves with the refusal once the limit is exceeded. One piece at a time. */
  add(piece: Buffer): Promise<HttpError | undefined> {
    return pieces.run(this.#caller, () => this.#unpack(piece));
  }

  /** The next piece begins another attachment. */
  beginAttachment(): void {
    this.#gunzip?.destroy();
    this.#gunzip = undefined;
  }

  /** Ends the work; what is being added is not measured. */
  stop(): void {
    this.#isOver = true;
    this.#gunzip?.destroy();
  }

  #unpack(piece: Buffer): Promise<HttpError | undefined> {
    if (this.#isOver) return Promise.resolve(undefined);
    const gunzip = (this.#gunzip ??= this.#createGunzip());
    this.#received += piece.length;
    return new Promise((resolve) => {
      this.#settle = resolve;
      // After a fault, nothing more is unpacked, as in CouchDB, and `write` calls back at once.
      gunzip.write(piece, () => resolve(undefined));
    });
  }

  #createGunzip(): Gunzip {
    const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
    return gunzip
      .on('data', (chunk: Buffer) => this.#count(chunk.length))
      .on('error', () => undefined)
      .on('close', () => {
        // At a fault, and at zeros behind a member, the stream is closed, and `write` may not call back.
        if (this.#gunzip === gunzip) this.#settle?.();
      });
  }

  #count(bytes: number): void {
    this.#unpacked += bytes;
    if (this.#unpacked <= Math.max(FREE_BYTES, BYTES_PER_BYTE * this.#received)) return;
    this.#settle?.(new TooLarge('the attachments unpack to too many bytes'));
    this.#gunzip?.destroy();
  }
}
