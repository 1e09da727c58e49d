// What a pack gives back is what was written, or damage.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { contentHash, leafOfText } from '../../src/backup/leaf.ts';
import { packLine, PackReader, PackWriter } from '../../src/backup/pack.ts';
import { Repository } from '../../src/backup/repository.ts';

const folder = mkdtempSync(join(tmpdir(), 'couchgate-pack-'));
after(() => rmSync(folder, { recursive: true }));
const repository = new Repository(folder, 'test', undefined);
const NONE = new Map<string, string>();

async function stored(line: string): Promise<{ pack: string; offset: number; length: number; line: number }> {
  const writer = new PackWriter(repository);
  const place = await writer.writeFrame(['{"hash":"","doc":{"_id":"other","_rev":"1-a"}}', line]);
  return { pack: (await writer.finish()) ?? '', ...place, line: 1 };
}

describe('a pack', () => {
  const leaf = leafOfText(
    '{"_id":"a","_rev":"1-a","n":1.0,"big":123456789012345678901234567890,"_revisions":{}}',
  );
  const hash = contentHash(leaf, NONE);

  it('keeps the text of CouchDB, numbers that a double does not hold included', async () => {
    const packed = await new PackReader(repository).read(await stored(packLine(leaf, hash, NONE)), hash);
    assert.equal(packed.leaf.raw, leaf.raw);
  });

  it('refuses a document with another content under the hash', async () => {
    const other = leafOfText(leaf.raw.replace('1.0', '2.0'));
    const place = await stored(packLine(other, hash, NONE));
    await assert.rejects(new PackReader(repository).read(place, hash), /does not have the content/);
  });

  it('refuses another document with its own right hash', async () => {
    const other = leafOfText(leaf.raw.replace('"a"', '"b"'));
    const place = await stored(packLine(other, contentHash(other, NONE), NONE));
    await assert.rejects(new PackReader(repository).read(place, hash), /does not have the content/);
  });

  it('counts attachments by their content', () => {
    const text =
      '{"_id":"a","_rev":"1-a","_attachments":{"f":{"content_type":"t","digest":"md5-x","length":1,"stub":true}}}';
    const [one, two] = ['1', '2'].map((sha256) => contentHash(leafOfText(text), new Map([['f', sha256]])));
    assert.notEqual(one, two);
  });
});
