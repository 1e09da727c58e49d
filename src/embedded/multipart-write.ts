// Encodes leaf revisions as multipart/mixed and a document with attachments as multipart/related.
// CouchDB's replicator requests both formats (couch_doc.erl, chttpd_db.erl).
import { randomBytes } from 'node:crypto';
import { type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { sendJson } from '../respond.ts';
import { inCouchOrder } from './document-check.ts';
import { type Leaf, type StoredDocument } from './pouch.ts';
import { without } from './json.ts';

/** Sends leaf revisions as multipart/mixed, one part each. */
export function sendLeavesAsMultipart(res: ServerResponse, leaves: readonly Leaf[]): void {
  const boundary = randomBytes(16).toString('hex');
  const parts: Buffer[] = [];
  for (const leaf of leaves) parts.push(Buffer.from(`\r\n--${boundary}\r\n`), partOf(leaf));
  parts.push(Buffer.from(`\r\n--${boundary}--`));
  send(res, `multipart/mixed; boundary="${boundary}"`, Buffer.concat(parts), {});
}

/** Sends a document with its attachments as multipart/related, or as JSON if it has none. */
export function sendRelated(res: ServerResponse, doc: StoredDocument, headers: OutgoingHttpHeaders): void {
  if (doc._attachments === undefined) {
    sendJson(res, 200, inCouchOrder(doc), headers);
    return;
  }
  const { type, body } = encodeRelated(doc);
  send(res, type, body, headers);
}

function send(res: ServerResponse, type: string, body: Buffer, headers: OutgoingHttpHeaders): void {
  res.writeHead(200, { ...headers, 'Content-Type': type, 'Content-Length': body.length });
  res.end(res.req.method === 'HEAD' ? undefined : body);
}

/** Content type and body of a document with its attachments. */
function encodeRelated(doc: StoredDocument): { type: string; body: Buffer } {
  const boundary = randomBytes(16).toString('hex');
  const bodies = Object.entries(doc._attachments ?? {}).map(([name, attachment]) => ({
    name,
    type: attachment.content_type,
    data: Buffer.from(attachment.data ?? '', 'base64'),
  }));
  const stubs = Object.fromEntries(
    Object.entries(doc._attachments ?? {}).map(([name, attachment], i) => [
      name,
      { ...without(attachment, 'data', 'stub'), follows: true, length: bodies[i]?.data.length },
    ]),
  );
  const json = JSON.stringify(inCouchOrder({ ...doc, _attachments: stubs }));
  const parts = [Buffer.from(`--${boundary}\r\nContent-Type: application/json\r\n\r\n${json}`)];
  for (const { name, type, data } of bodies) {
    const head = `\r\n--${boundary}\r\nContent-Disposition: attachment; filename="${escapeFilename(name)}"\r\nContent-Type: ${withoutControlCharacters(type)}\r\nContent-Length: ${data.length}\r\n\r\n`;
    parts.push(Buffer.from(head), data);
  }
  parts.push(Buffer.from(`\r\n--${boundary}--`));
  return { type: `multipart/related; boundary="${boundary}"`, body: Buffer.concat(parts) };
}

function partOf(leaf: Leaf): Buffer {
  if (!('ok' in leaf))
    return Buffer.from(
      `Content-Type: application/json; error="true"\r\n\r\n${JSON.stringify({ missing: leaf.missing })}`,
    );
  if (leaf.ok._attachments === undefined)
    return Buffer.from(`Content-Type: application/json\r\n\r\n${JSON.stringify(inCouchOrder(leaf.ok))}`);
  const { type, body } = encodeRelated(leaf.ok);
  return Buffer.concat([Buffer.from(`Content-Type: ${type}\r\n\r\n`), body]);
}

/** Removes line breaks: a stored content type or name must not end a header line (hazard H3). */
function withoutControlCharacters(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f]/g, ' ');
}

function escapeFilename(name: string): string {
  return withoutControlCharacters(name).replaceAll('"', '%22');
}
