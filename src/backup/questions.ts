// Answers questions about the repository in the backup process: lists, versions of a document, and the
// restore of one document.
import { type CouchTransfer } from '../couch/transfer.ts';
import { writeJson } from '../json/exact-numbers.ts';
import { futureFirst, isInFuture } from './future.ts';
import { answerVersion, answerVersions, restoreOne } from './document-questions.ts';
import { refuseOwnNames } from './instance.ts';
import { type Question } from './process-protocol.ts';
import { type Repository } from './repository.ts';
import { type SnapshotCache, type SnapshotSummary } from './snapshot-cache.ts';

export interface QuestionContext {
  readonly couch: CouchTransfer;
  readonly repository: Repository;
  readonly snapshots: SnapshotCache;
  readonly storeDatabase: string;
}

/** The answer as JSON text, in which every number is as it was stored. */
export interface QuestionAnswer {
  readonly status: number;
  readonly text: string;
}

/** Rejects as the engine does, with `NotInRepository` for what the repository does not have. */
export async function answerQuestion(context: QuestionContext, question: Question): Promise<QuestionAnswer> {
  if ('id' in question) await refuseOwnNames(context.repository, context.storeDatabase, question.database);
  const { status, body } = await bodyFor(context, question);
  return { status, text: writeJson(body) };
}

function bodyFor(
  context: QuestionContext,
  question: Question,
): Promise<{ readonly status: number; readonly body: unknown }> {
  switch (question.kind) {
    case 'overview':
      return overview(context);
    case 'snapshots':
      return snapshotPage(context, question);
    case 'versions':
      return answerVersions(context, question);
    case 'version':
      return answerVersion(context, question);
    case 'restoreDocument':
      return restoreOne(context, question);
  }
}

async function overview({ repository, snapshots }: QuestionContext) {
  const { snapshots: all, damages } = await snapshots.list(repository);
  const groups = new Map<string, SnapshotSummary[]>();
  for (const snapshot of all) {
    const group = groups.get(snapshot.database);
    if (group === undefined) groups.set(snapshot.database, [snapshot]);
    else group.push(snapshot);
  }
  const databases = [...groups].map(([database, group]) => databaseOverview(database, group));
  const last = databases.map(({ last_success }) => last_success ?? '').sort();
  const body = {
    repository: { folder: repository.folder, encrypted: repository.cipher !== undefined },
    last_success: last.at(-1) === '' ? null : (last.at(-1) ?? null),
    databases: databases.sort((a, b) => (a.database < b.database ? -1 : 1)),
    damages,
  };
  return { status: 200, body };
}

function databaseOverview(database: string, group: readonly SnapshotSummary[]) {
  const newest = futureFirst(group).at(-1) as SnapshotSummary;
  // A success of the future would hide that no other followed.
  const success = group.findLast((one) => one.complete && !isInFuture(one));
  const verified = group.findLast(({ verified_at }) => verified_at !== null);
  const { id, started, finished, full, complete, counts, added_bytes, problem_count } = newest;
  return {
    database,
    snapshots: group.length,
    newest: { id, started, finished, full, complete, counts, added_bytes, problem_count },
    last_success: success?.finished ?? null,
    verified_at: verified?.verified_at ?? null,
    verified_snapshot: verified?.id ?? null,
  };
}

/** The newest first; `before` is the last id of the page before. */
async function snapshotPage(
  { repository, snapshots }: QuestionContext,
  { database, limit, before }: Extract<Question, { kind: 'snapshots' }>,
) {
  const { snapshots: all, damages } = await snapshots.list(repository, database);
  const older = all.filter(({ id }) => before === undefined || id < before).reverse();
  const page = older.slice(0, limit);
  const more = older.length > limit ? { before: page.at(-1)?.id } : {};
  return { status: 200, body: { snapshots: page, damages, ...more } };
}
