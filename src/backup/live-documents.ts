// Reads the state of many documents of a live database, and writes many without undoing a change of others.
import { type CouchTransfer } from '../couch/transfer.ts';
import { databasePath } from '../couch/document-path.ts';
import { parseJson } from '../json/parse.ts';
import { BackupError } from './errors.ts';
import { sentence } from './target.ts';

export interface LiveState {
  readonly rev: string;
  readonly deleted: boolean;
}

/** `uncertain` = fewer nodes stored it than CouchDB's quorum. */
export type WriteResult = 'written' | 'uncertain' | 'conflict' | 'refused';

const AT_ONCE = 500;

/** The documents that exist, or existed and were deleted; a document without an entry was never there. */
export async function readStates(
  couch: CouchTransfer,
  database: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, LiveState>> {
  const states = new Map<string, LiveState>();
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const keys = ids.slice(at, at + AT_ONCE);
    const answer = await couch.ask({
      method: 'POST',
      path: `${databasePath(database)}/_all_docs`,
      body: JSON.stringify({ keys }),
      repeatable: true,
    });
    if (answer.status !== 200) throw new BackupError(`Reading ${database} failed: ${sentence(answer)}.`);
    const { rows } = parseJson(answer.bytes) as {
      readonly rows: readonly {
        readonly key: string;
        readonly error?: string;
        readonly value?: { readonly rev: string; readonly deleted?: boolean } | null;
      }[];
    };
    if (rows.length !== keys.length) throw new BackupError(`Reading ${database} failed: rows are missing.`);
    for (const { key, value, error } of rows)
      if (value !== undefined && value !== null)
        states.set(key, { rev: value.rev, deleted: value.deleted === true });
      else if (error !== 'not_found') throw new BackupError(`Reading ${database} failed: ${String(error)}.`);
  }
  return states;
}

/** Writes documents as new revisions. A document that somebody has changed since is a conflict, and stays. */
export async function writeDocuments(
  couch: CouchTransfer,
  database: string,
  documents: readonly { readonly id: string; readonly json: string }[],
): Promise<ReadonlyMap<string, WriteResult>> {
  const results = new Map<string, WriteResult>();
  for (let at = 0; at < documents.length; at += AT_ONCE) {
    const docs = documents.slice(at, at + AT_ONCE);
    const body = `{"docs":[${docs.map(({ json }) => json).join(',')}]}`;
    const path = `${databasePath(database)}/_bulk_docs`;
    const answer = await couch.ask({ method: 'POST', path, body });
    if (answer.status !== 201 && answer.status !== 202)
      throw new BackupError(`Writing into ${database} failed: ${sentence(answer)}.`);
    const rows = parseJson(answer.bytes) as readonly {
      readonly id?: string;
      readonly error?: string;
      readonly accepted?: boolean;
    }[];
    const isQuorum = answer.status === 201;
    for (const { id = '', error, accepted } of rows)
      if (error === undefined) results.set(id, isQuorum && accepted !== true ? 'written' : 'uncertain');
      else results.set(id, error === 'conflict' ? 'conflict' : 'refused');
  }
  return results;
}
