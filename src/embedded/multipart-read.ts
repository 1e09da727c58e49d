// Reads a multipart/related PUT: first part the JSON document, then the bodies of the attachments that "follow", in their order.
import { type IncomingMessage } from 'node:http';
import { BadRequest } from '../http-errors.ts';
import { parseJson, readBody } from './body.ts';
import { isObject, type Json, without } from './json.ts';

const LINE_END = Buffer.from('\r\n');
const HEAD_END = Buffer.from('\r\n\r\n');

/** The document with every following attachment put in as base64. Throws 400 when parts are missing or malformed. */
export async function parseRelated(req: IncomingMessage): Promise<unknown> {
  const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(req.headers['content-type'] ?? '');
  const mark = boundary?.[1] ?? boundary?.[2];
  if (mark === undefined) throw new BadRequest('multipart boundary is missing');
  const [first, ...bodies] = partsOf(await readBody(req), Buffer.from(`--${mark}`));
  if (first === undefined) throw new BadRequest('multipart body has no document');
  const doc = parseJson(first);
  if (!isObject(doc)) throw new BadRequest('Document must be a JSON object');
  const attachments = isObject(doc['_attachments']) ? doc['_attachments'] : {};
  for (const [name, attachment] of Object.entries(attachments)) {
    if (!isObject(attachment) || attachment['follows'] !== true) continue;
    const body = bodies.shift();
    if (body === undefined) throw new BadRequest(`expected more data: attachment ${name} does not follow`);
    attachments[name] = inlined(attachment, body);
  }
  return doc;
}

function inlined(attachment: Json, body: Buffer): Json {
  const rest = without(attachment, 'follows', 'length', 'encoding', 'encoded_length', 'stub');
  return { ...rest, data: body.toString('base64') };
}

/** Bodies of the parts between the boundaries; what is before the first and behind the last is ignored. */
function partsOf(body: Buffer, mark: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = body.indexOf(mark);
  while (start >= 0) {
    const end = body.indexOf(Buffer.concat([LINE_END, mark]), start + mark.length);
    if (end < 0) return parts;
    // The blank line ends the part's headers; a part may have none at all.
    const headers = body.indexOf(HEAD_END, start + mark.length);
    if (headers >= 0 && headers <= end) parts.push(body.subarray(headers + HEAD_END.length, end));
    start = end + LINE_END.length;
  }
  return parts;
}
