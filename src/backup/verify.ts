// Checks a repository: that every snapshot can be read, and with `readData` every byte that it refers to.
import { stat } from 'node:fs/promises';
import { hasAttachment, readAttachment } from './attachment-store.ts';
import { Chain } from './chain.ts';
import { BackupError, Damaged } from './errors.ts';
import { listInstances } from './instance.ts';
import { IndexReader } from './index-file.ts';
import { checkedLine, readWholePack } from './pack.ts';
import { whileReading } from './readers.ts';
import { type Repository } from './repository.ts';
import { readSnapshot, snapshotIds, type Snapshot } from './snapshot.ts';

export interface Damage {
  /** What is damaged. */
  readonly reason: string;
  /** The databases whose snapshots need it. */
  readonly databases: readonly string[];
}

export interface VerifyOutcome {
  readonly snapshots: number;
  readonly indexFiles: number;
  readonly packs: number;
  readonly attachments: number;
  /** Bytes of attachments that were read. */
  readonly attachmentBytes: number;
  readonly damages: readonly Damage[];
}

interface NeededPack {
  /** End of the last frame that is needed. */
  end: number;
  readonly databases: Set<string>;
}

/**
 * Checks all snapshots: their manifests, the SHA-256 of every index file, and that each pack and attachment
 * is there and long enough. With `readData`, every document and attachment is read and its hash compared.
 */
export async function verifyRepository(
  repository: Repository,
  options: { readonly readData: boolean; readonly onProgress?: (done: number, total: number) => void },
): Promise<VerifyOutcome> {
  const run = new VerifyRun(repository);
  return whileReading(repository, 'verify', async () => {
    await run.structure();
    if (options.readData) await run.data(options.onProgress ?? (() => undefined));
    return run.outcome();
  });
}

class VerifyRun {
  readonly #repository: Repository;
  readonly #damages = new Map<string, Set<string>>();
  readonly #packs = new Map<string, NeededPack>();
  readonly #attachments = new Map<string, Set<string>>();
  /** Databases by index file. */
  readonly #indexFiles = new Map<string, Set<string>>();
  #snapshots = 0;
  #attachmentBytes = 0;

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  async structure(): Promise<void> {
    for (const name of await snapshotIds(this.#repository)) {
      const snapshot = await this.#guard([name], () => readSnapshot(this.#repository, name));
      if (snapshot !== undefined) this.#addSnapshot(snapshot);
    }
    await this.#guard(['the instance section'], () => this.#sections());
    for (const [name, databases] of this.#indexFiles)
      await this.#guard([...databases], () => this.#indexFile(name, databases));
    for (const [name, { end, databases }] of this.#packs)
      await this.#guard([...databases], () => this.#packFile(name, end));
    for (const [sha256, databases] of this.#attachments)
      if (!(await hasAttachment(this.#repository, sha256)))
        this.#damage(`attachment ${sha256} is missing`, databases);
  }

  async data(onProgress: (done: number, total: number) => void): Promise<void> {
    const total = this.#packs.size + this.#attachments.size;
    let done = 0;
    for (const [name, { databases }] of this.#packs) {
      await this.#guard([...databases], async () => {
        for await (const { lines } of readWholePack(this.#repository, name))
          for (const line of lines) checkedLine(line, '', `pack ${name}`);
      });
      onProgress((done += 1), total);
    }
    for (const [sha256, databases] of this.#attachments) {
      await this.#guard([...databases], async () => {
        for await (const chunk of readAttachment(this.#repository, sha256))
          this.#attachmentBytes += chunk.length;
      });
      onProgress((done += 1), total);
    }
  }

  outcome(): VerifyOutcome {
    return {
      snapshots: this.#snapshots,
      indexFiles: this.#indexFiles.size,
      packs: this.#packs.size,
      attachments: this.#attachments.size,
      attachmentBytes: this.#attachmentBytes,
      damages: [...this.#damages].map(([reason, databases]) => ({
        reason,
        databases: [...databases].sort(),
      })),
    };
  }

  /** Every section can be read, and its snapshots are there. */
  async #sections(): Promise<void> {
    const names = new Set(await this.#repository.list('snapshots'));
    for (const { id, snapshots } of await listInstances(this.#repository))
      for (const [database, snapshot] of Object.entries(snapshots))
        if (!names.has(snapshot))
          this.#damage(`instance section ${id} needs snapshot ${snapshot}, which is missing`, [database]);
  }

  #addSnapshot({ index, database }: Snapshot): void {
    this.#snapshots += 1;
    for (const { name } of index) setIn(this.#indexFiles, name).add(database);
  }

  async #indexFile(name: string, databases: ReadonlySet<string>): Promise<void> {
    await IndexReader.open(this.#repository, name, true);
    const chain = await Chain.open(this.#repository, [{ name, entries: 0 }]);
    for await (const { leaves } of chain.entries())
      for (const { place, attachments } of leaves) {
        const pack = this.#packs.get(place.pack) ?? { end: 0, databases: new Set() };
        this.#packs.set(place.pack, pack);
        pack.end = Math.max(pack.end, place.offset + place.length);
        for (const database of databases) pack.databases.add(database);
        for (const { sha256 } of attachments)
          for (const database of databases) setIn(this.#attachments, sha256).add(database);
      }
  }

  async #packFile(name: string, end: number): Promise<void> {
    const path = this.#repository.pathOf('packs', name);
    let size;
    try {
      ({ size } = await stat(path));
    } catch {
      throw new Damaged(`The repository is damaged: ${path} is missing.`);
    }
    if (size < end) throw new Damaged(`The repository is damaged: ${path} is truncated.`);
  }

  /** Runs a check; damage is noted for the databases, and the other checks go on. */
  async #guard<T>(databases: readonly string[], check: () => Promise<T>): Promise<T | undefined> {
    try {
      return await check();
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      this.#damage(error.message, databases);
      return undefined;
    }
  }

  #damage(reason: string, databases: Iterable<string>): void {
    const known = setIn(this.#damages, reason);
    for (const database of databases) known.add(database);
  }
}

function setIn(map: Map<string, Set<string>>, key: string): Set<string> {
  const known = map.get(key);
  if (known !== undefined) return known;
  const created = new Set<string>();
  map.set(key, created);
  return created;
}
