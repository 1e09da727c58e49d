// Requests about documents. Their content is kept as text, so that no number changes its value.
import { type Member, membersOf, objectOf } from '../json-text.ts';
import { call, callBlob, callText } from './http.ts';
import { documentPath, isUnsendable, pathOf } from './paths.ts';

/** Rows of a page of the list. */
export const LIST_SIZE = 50;

/** The place of a document in the cache of answers. */
export const documentKey = (database: string, id: string): readonly string[] => ['document', database, id];

export interface ListedDocument {
  readonly id: string;
  readonly rev: string;
}

export interface DocumentList {
  readonly documents: readonly ListedDocument[];
  /** The id that begins the next page; undefined = this is the last one. */
  readonly next: string | undefined;
}

interface AllDocs {
  readonly results: readonly [
    { readonly rows: readonly { readonly id: string; readonly value: { readonly rev: string } }[] },
  ];
}

/** Ids in CouchDB's order, from `from` on, that begin with `prefix`. */
export async function listDocuments(
  database: string,
  { from, prefix }: { readonly from: string; readonly prefix: string },
  signal: AbortSignal,
): Promise<DocumentList> {
  const start = from > prefix ? from : prefix;
  const query = {
    limit: LIST_SIZE + 1,
    ...(start === '' ? {} : { startkey: start }),
    ...(prefix === '' ? {} : { endkey: `${prefix}\ufff0` }),
  };
  // In the body: proxies log paths, and with them the beginnings of ids.
  const path = `${pathOf(database)}/_all_docs/queries`;
  const { body } = await call<AllDocs>({ method: 'POST', path, body: { queries: [query] }, signal });
  const [{ rows }] = body.results;
  return {
    documents: rows.slice(0, LIST_SIZE).map(({ id, value }) => ({ id, rev: value.rev })),
    next: rows[LIST_SIZE]?.id,
  };
}

export interface Attachment {
  readonly name: string;
  readonly contentType: string;
  /** Bytes. */
  readonly length: number;
}

/** One revision of a document. */
export interface DocumentText {
  readonly rev: string;
  /** The fields that a person edits, as JSON in lines: all but those that begin with an underscore. */
  readonly text: string;
  readonly attachments: readonly Attachment[];
  /** The fields `_attachments` and others of CouchDB, as they were read; a save sends the first again. */
  readonly reserved: readonly Member[];
  readonly isDeleted: boolean;
}

/** Reads a revision, or the winning one. Rejects with 404 if the document is missing or deleted. */
export async function readDocument(
  database: string,
  id: string,
  { rev, signal }: { readonly rev?: string; readonly signal?: AbortSignal } = {},
): Promise<DocumentText> {
  if (isUnsendable(id)) return readByKey(database, id, signal);
  const query = rev === undefined ? '' : `?rev=${encodeURIComponent(rev)}`;
  return documentIn(
    await callText({
      path: documentPath(database, id) + query,
      ...(signal === undefined ? {} : { signal }),
    }),
  );
}

/** Reads a document whose id no path can name. */
async function readByKey(database: string, id: string, signal?: AbortSignal): Promise<DocumentText> {
  const answer = await callText({
    method: 'POST',
    path: `${pathOf(database)}/_all_docs?include_docs=true`,
    body: { keys: [id] },
    ...(signal === undefined ? {} : { signal }),
  });
  const rows = membersOf(answer).find(({ name }) => name === 'rows')?.value ?? '[]';
  const row = rows.slice(1, -1).trim();
  const doc = row.startsWith('{') ? membersOf(row).find(({ name }) => name === 'doc')?.value : undefined;
  if (doc === undefined || doc === 'null') throw new Error('The document does not exist.');
  return documentIn(doc);
}

function documentIn(json: string): DocumentText {
  const members = membersOf(json);
  const reserved = members.filter(({ name }) => name.startsWith('_'));
  const valueOf = (name: string): unknown => {
    const found = reserved.find((member) => member.name === name);
    return found === undefined ? undefined : JSON.parse(found.value);
  };
  const rev = valueOf('_rev');
  const stubs = (valueOf('_attachments') ?? {}) as Readonly<
    Record<string, { readonly content_type?: string; readonly length?: number }>
  >;
  return {
    rev: typeof rev === 'string' ? rev : '',
    text: objectOf(members.filter(({ name }) => !name.startsWith('_'))),
    attachments: Object.entries(stubs).map(([name, { content_type: contentType = '', length = 0 }]) => ({
      name,
      contentType,
      length,
    })),
    reserved,
    isDeleted: valueOf('_deleted') === true,
  };
}

export interface Save {
  readonly text: string;
  /** The revision that was read; undefined = the document is new. */
  readonly rev: string | undefined;
  readonly reserved: readonly Member[];
}

/** Writes a document and resolves with its new revision. Rejects with 409 if it has changed meanwhile. */
export async function saveDocument(
  database: string,
  id: string,
  { text, rev, reserved }: Save,
): Promise<string> {
  const kept = reserved.filter(({ name }) => name === '_attachments');
  const { body } = await call<{ readonly rev: string }>({
    method: 'PUT',
    path: documentPath(database, id),
    json: objectOf([...kept, ...membersOf(text)]),
    headers: rev === undefined ? {} : { 'If-Match': rev },
  });
  return body.rev;
}

/** Deletes one leaf revision. */
export async function deleteRevision(database: string, id: string, rev: string): Promise<void> {
  await call({ method: 'DELETE', path: `${documentPath(database, id)}?rev=${encodeURIComponent(rev)}` });
}

export interface Revisions {
  /** The newest first; the first is the winning one. */
  readonly history: readonly { readonly rev: string; readonly status: string }[];
  /** Revisions that conflict with the winning one. */
  readonly conflicts: readonly string[];
}

export async function readRevisions(database: string, id: string, signal: AbortSignal): Promise<Revisions> {
  const path = `${documentPath(database, id)}?revs_info=true&conflicts=true`;
  const { body } = await call<{
    readonly _revs_info?: Revisions['history'];
    readonly _conflicts?: readonly string[];
  }>({ path, signal });
  return { history: body._revs_info ?? [], conflicts: body._conflicts ?? [] };
}

/** An id that nobody else uses. */
export async function newId(): Promise<string> {
  const { body } = await call<{ readonly uuids: readonly string[] }>({ path: '_uuids' });
  return body.uuids[0] ?? '';
}

/**
 * Saves an attachment as a file. The bytes have a type that no browser shows, and the link has a name of a
 * file: nothing of it is opened on this origin.
 */
export async function downloadAttachment(
  database: string,
  id: string,
  { name, rev }: { readonly name: string; readonly rev: string },
): Promise<void> {
  const segments = name.split('/').map(encodeURIComponent).join('/');
  const path = `${documentPath(database, id)}/${segments}?rev=${encodeURIComponent(rev)}`;
  const blob = await callBlob({ path, headers: { Accept: '*/*' } });
  const address = URL.createObjectURL(new Blob([blob], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name.split('/').at(-1) ?? name;
  link.click();
  // The browser has taken the bytes when the download begins; that is after this turn.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
