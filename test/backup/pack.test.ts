// What a pack gives back is what was written, or damage.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { compare } from '../../src/backup/canonical.ts';
import { IndexReader, IndexWriter, type IndexEntry } from '../../src/backup/index-file.ts';
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
    const packed = await new PackReader(repository).read(await stored(packLine(leaf, hash, [])), hash);
    assert.equal(packed.leaf.raw, leaf.raw);
  });

  it('refuses a document with another content under the hash', async () => {
    const other = leafOfText(leaf.raw.replace('1.0', '2.0'));
    const place = await stored(packLine(other, hash, []));
    await assert.rejects(new PackReader(repository).read(place, hash), /does not have the content/);
  });

  it('refuses another document with its own right hash', async () => {
    const other = leafOfText(leaf.raw.replace('"a"', '"b"'));
    const place = await stored(packLine(other, contentHash(other, NONE), []));
    await assert.rejects(new PackReader(repository).read(place, hash), /does not have the content/);
  });

  it('counts attachments by their content', () => {
    const text =
      '{"_id":"a","_rev":"1-a","_attachments":{"f":{"content_type":"t","digest":"md5-x","length":1,"stub":true}}}';
    const [one, two] = ['1', '2'].map((sha256) => contentHash(leafOfText(text), new Map([['f', sha256]])));
    assert.notEqual(one, two);
  });
});

describe('an index file', () => {
  it('finds each document alone as in its whole block, in any order, and no other', async () => {
    const ids = [
      '',
      '"',
      '\\',
      'a',
      'a"',
      'a\n["b",',
      'b',
      '\0',
      '\ud800',
      '\u2028',
      'é',
      '["a",[]]',
      '..',
      '😀',
    ];
    for (let n = 0; n < 1500; n += 1) ids.push(`doc-${n}`);
    ids.sort(compare);
    const writer = new IndexWriter(repository);
    for (const [at, id] of ids.entries()) {
      const place = { pack: 'ab'.repeat(32), offset: 8, length: at, line: 0 };
      const leaves = [{ rev: '1-a', deleted: false, hash: 'cd'.repeat(32), place, attachments: [] }];
      await writer.add({ id, leaves: at % 7 === 0 ? [] : leaves });
    }
    const reader = await IndexReader.open(repository, (await writer.finish())?.name ?? '');
    const whole = new Map<string, IndexEntry>();
    for (let number = 0; number < reader.blocks; number += 1)
      for (const entry of await reader.block(number)) whole.set(entry.id, entry);
    assert.deepEqual([...whole.keys()], ids);
    for (const order of [ids, [...ids].reverse()])
      for (const id of order) assert.deepEqual(await reader.lookup(id), whole.get(id), JSON.stringify(id));
    for (const id of ['doc-', 'doc-15000', 'doc-1x', 'A', 'a\n', '[]', '1-a', '\uffff'])
      assert.equal(await reader.lookup(id), undefined, JSON.stringify(id));
  });
});
