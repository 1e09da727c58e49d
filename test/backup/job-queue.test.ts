// What the list of jobs says of a job that ends while the list is read.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { JobQueue } from '../../src/backup/job-queue.ts';
import { documentOf, newJob, type Job } from '../../src/backup/job.ts';
import { type StoredDocument } from '../../src/couch/store.ts';
import { MemoryStore } from '../support/memory-store.ts';

const job = (state: Job['state']): Job => ({
  ...newJob({ kind: 'backup', databases: [] }, 'owner', undefined, new Date(0)),
  id: 'a',
  state,
});

/** A store whose job comes to `end` after the list of jobs was read and before the lease is. */
class EndingStore extends MemoryStore {
  readonly #end: Job['state'];

  constructor(end: Job['state']) {
    super();
    this.#end = end;
  }

  override async each(prefix: string, take: (document: StoredDocument) => void): Promise<void> {
    await super.each(prefix, take);
    const { _rev: rev } = (await this.read('backup_job:a')) ?? {};
    await this.write(documentOf(job(this.#end), rev));
  }
}

for (const [end, shown] of [
  ['done', 'done'],
  ['failed', 'failed'],
  ['running', 'interrupted'],
] as const)
  it(`shows a job without a lease as its last record says – ${end}: ${shown}`, async () => {
    const store = new EndingStore(end);
    await store.write(documentOf(job('running'), undefined));
    const ignore = (): void => undefined;
    const process = { program: '', settings: {} as never };
    const jobs = new JobQueue({ store, process, leaseMs: 1000, report: ignore, warn: ignore });
    assert.deepEqual(
      (await jobs.list()).map(({ state }) => state),
      [shown],
    );
  });
