// Parses a multipart/related PUT: the first part is the JSON document, the other parts are the bodies of the
// attachments with `"follows": true`, in their order.
import { type IncomingMessage } from 'node:http';
import { BadRequest } from '../http-errors.ts';
import { parseJson, readBody } from './body.ts';
import { isObject, type Json, without } from './json.ts';

const LINE_END = Buffer.from('\r\n');
const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * The document with every following attachment inlined as base64. Throws 400 for missing or malformed parts.
 */
export async function parseRelated(req: IncomingMessage): Promise<unknown> {
  const parameter = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(req.headers['content-type'] ?? '');
  const boundary = parameter?.[1] ?? parameter?.[2];
  if (boundary === undefined) throw new BadRequest('Content-Type multipart/related has no boundary');
  const [first, ...bodies] = partsOf(await readBody(req), Buffer.from(`--${boundary}`));
  if (first === undefined) throw new BadRequest('The multipart body has no document');
  const doc = parseJson(first);
  if (!isObject(doc)) throw new BadRequest('Document must be a JSON object');
  const attachments = isObject(doc['_attachments']) ? doc['_attachments'] : {};
  for (const [name, attachment] of Object.entries(attachments)) {
    if (!isObject(attachment) || attachment['follows'] !== true) continue;
    const body = bodies.shift();
    if (body === undefined) throw new BadRequest(`The multipart body has no part for attachment ${name}`);
    attachments[name] = inlineAttachment(attachment, body);
  }
  return doc;
}

function inlineAttachment(attachment: Json, body: Buffer): Json {
  const rest = without(attachment, 'follows', 'length', 'encoding', 'encoded_length', 'stub');
  return { ...rest, data: body.toString('base64') };
}

/**
 * Bodies of the parts between the delimiters. Ignores bytes before the first and after the last delimiter.
 */
function partsOf(body: Buffer, delimiter: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = body.indexOf(delimiter);
  while (start >= 0) {
    const end = body.indexOf(Buffer.concat([LINE_END, delimiter]), start + delimiter.length);
    if (end < 0) return parts;
    // An empty line ends the headers of a part; a part may have no headers.
    const headers = body.indexOf(HEAD_END, start + delimiter.length);
    if (headers >= 0 && headers <= end) parts.push(body.subarray(headers + HEAD_END.length, end));
    start = end + LINE_END.length;
  }
  return parts;
}
