// Writes what an instance section has and `restore --store` does not put back: replication jobs would start
// at once, and grants of the owner would widen access. The owner reads the file, and sends what is wanted.
import { writeFile } from 'node:fs/promises';
import { writeJson } from '../json/exact-numbers.ts';
import { parseStored } from '../json/parse.ts';
import { PREFIX_GRANT } from '../permissions/prefix-grants.ts';
import { SERVER_GRANT } from '../permissions/server-grants.ts';
import { Chain } from './chain.ts';
import { fileFailure } from './errors.ts';
import { REPLICATOR, type InstanceFile, type InstanceSection } from './instance.ts';
import { PackReader } from './pack.ts';
import { type Repository } from './repository.ts';
import { readSnapshot } from './snapshot.ts';
import { winnerFirst } from './versions.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface InstanceExport {
  readonly format: 'couchgate-instance';
  readonly section: string;
  readonly started: string;
  /** Documents of `_replicator` without the state of their jobs; they hold credentials. */
  readonly replicator: { readonly docs: readonly Fields[] };
  readonly prefix_grants: readonly Fields[];
  readonly server_grants: readonly Fields[];
  /** `ip-whitelist.yaml` and `cors.yaml`. */
  readonly files: readonly InstanceFile[];
}

export async function exportInstance(
  repository: Repository,
  section: InstanceSection,
): Promise<InstanceExport> {
  const { id, started, files, store } = section;
  const grantsOf = async (prefix: string): Promise<readonly Fields[]> =>
    (await documentsOf(repository, section, store, (name) => name.startsWith(prefix))).filter(
      ({ revoked }) => revoked !== true,
    );
  const docs = await documentsOf(repository, section, REPLICATOR, (name) => !name.startsWith('_design/'));
  return {
    format: 'couchgate-instance',
    section: id,
    started,
    replicator: { docs: docs.map((doc) => without(doc, (field) => field.startsWith('_replication_'))) },
    prefix_grants: await grantsOf(PREFIX_GRANT),
    server_grants: await grantsOf(SERVER_GRANT),
    files,
  };
}

/** Writes the export into a new file that only its owner can read. Throws a BackupError if it exists. */
export async function writeInstanceExport(path: string, content: InstanceExport): Promise<void> {
  try {
    await writeFile(path, `${writeJson(content)}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    throw fileFailure(error, `Writing ${path}`);
  }
}

/** The winners of a snapshot that fit, without their history; none if the section has no such database. */
async function documentsOf(
  repository: Repository,
  { snapshots }: InstanceSection,
  database: string,
  isWanted: (id: string) => boolean,
): Promise<readonly Fields[]> {
  const snapshotId = Object.hasOwn(snapshots, database) ? snapshots[database] : undefined;
  if (snapshotId === undefined) return [];
  const packs = new PackReader(repository);
  const documents: Fields[] = [];
  const { index } = await readSnapshot(repository, snapshotId);
  for await (const { id, leaves } of (await Chain.open(repository, index, { check: true })).entries()) {
    const winner = [...leaves].sort(winnerFirst)[0];
    if (winner === undefined || winner.deleted || !isWanted(id)) continue;
    const { leaf } = await packs.read(winner.place, winner.hash);
    const doc = parseStored(Buffer.from(leaf.raw)) as Fields;
    documents.push(without(doc, (field) => field === '_rev' || field === '_revisions'));
  }
  return documents;
}

function without(doc: Fields, isLeftOut: (field: string) => boolean): Fields {
  return Object.fromEntries(Object.entries(doc).filter(([field]) => !isLeftOut(field)));
}
