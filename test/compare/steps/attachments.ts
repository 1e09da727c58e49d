// Defines the steps for attachments.
import { createHash } from 'node:crypto';
import { DB, del, get, head, put, type Step } from '../step.ts';

const MEGABYTE = Buffer.alloc(1 << 20, createHash('sha512').update('x').digest());
const TEXT = { 't.txt': { content_type: 'text/plain', data: Buffer.from('hello').toString('base64') } };
const RELATED = [
  '--abc123',
  'Content-Type: application/json',
  '',
  '{"_attachments":{"foo.txt":{"follows":true,"content_type":"text/plain","length":5}}}',
  '--abc123',
  '',
  'abcde',
  '--abc123--',
].join('\r\n');

export const attachmentSteps: readonly Step[] = [
  put('PUT attachment', `${DB}/att/file.bin`, {
    headers: { 'content-type': 'application/octet-stream' },
    body: MEGABYTE,
  }),
  get('GET attachment', `${DB}/att/file.bin`),
  head('HEAD attachment', `${DB}/att/file.bin`),
  get('GET attachment range', `${DB}/att/file.bin`, { headers: { range: 'bytes=0-9' } }),
  get('GET doc with stub', `${DB}/att`),
  put('PUT inline text att', `${DB}/att2`, { body: { _attachments: TEXT }, saveAs: 'a2' }),
  get('GET attachments=true', `${DB}/att2?attachments=true`),
  get('GET multipart/related', `${DB}/att2?attachments=true`, { headers: { accept: 'multipart/related' } }),
  put('PUT multipart/related', `${DB}/att3`, {
    headers: { 'content-type': 'multipart/related;boundary="abc123"' },
    body: RELATED,
  }),
  get('GET multipart-put att', `${DB}/att3/foo.txt`),
  put('PUT att slash name', (context) => `${DB}/att2/dir/x.txt?rev=${context.text('a2', 'rev')}`, {
    headers: { 'content-type': 'text/plain' },
    body: 'yy',
    saveAs: 'a2',
  }),
  del('DELETE attachment', (context) => `${DB}/att2/t.txt?rev=${context.text('a2', 'rev')}`),
  get('GET att missing', `${DB}/att2/none.txt`),
];
