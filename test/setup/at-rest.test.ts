// Whether the device below a folder is encrypted, against a made-up tree of devices.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { atRestOf, type AtRest } from '../../src/setup/at-rest.ts';
import { runCommand } from '../../src/cli/commands.ts';
import { checkAtRest, dataFolders } from '../../src/setup/check-at-rest.ts';

describe('encryption at rest', () => {
  const root = mkdtempSync(join(tmpdir(), 'couchgate-at-rest-'));
  const files = { mountinfo: join(root, 'mountinfo'), sys: join(root, 'sys') };

  function device(number: string, name: string, uuid?: string, slaves: readonly string[] = []): void {
    const folder = join(files.sys, 'devices', name);
    mkdirSync(join(folder, 'slaves'), { recursive: true });
    if (uuid !== undefined) {
      mkdirSync(join(folder, 'dm'));
      writeFileSync(join(folder, 'dm/uuid'), `${uuid}\n`);
    }
    for (const slave of slaves) symlinkSync(join(files.sys, 'devices', slave), join(folder, 'slaves', slave));
    mkdirSync(join(files.sys, 'dev/block'), { recursive: true });
    symlinkSync(folder, join(files.sys, 'dev/block', number));
  }

  before(() => {
    device('8:1', 'sda1');
    device('8:2', 'sdb1');
    device('253:0', 'dm-0', 'CRYPT-LUKS2-0123-crypt', ['sda1']);
    device('253:1', 'dm-1', 'LVM-abc', ['dm-0']);
    device('253:2', 'dm-2', 'LVM-def', ['dm-0', 'sdb1']);
    device('253:3', 'dm-3', 'LVM-ghi', ['sdb1']);
    device('7:0', 'loop0');
    mkdirSync(join(files.sys, 'devices/loop0/loop'));
    const mounts = [
      ['8:1', '/', 'ext4'],
      ['253:0', `${root}/crypt`, 'ext4'],
      ['253:1', `${root}/lvm\\040on\\040crypt`, 'ext4'],
      ['253:2', `${root}/half`, 'xfs'],
      ['253:3', `${root}/lvm`, 'xfs'],
      ['0:41', `${root}/nfs`, 'nfs4'],
      ['0:42', `${root}/overlay`, 'overlay'],
      ['7:0', `${root}/loop`, 'ext4'],
      ['9:9', `${root}/hidden`, 'ext4'],
      ['8:1', `${root}/twice`, 'ext4'],
      ['253:0', `${root}/twice`, 'ext4'],
    ];
    writeFileSync(
      files.mountinfo,
      mounts
        .map(([number, point, type], at) => `${at} 1 ${number} / ${point} rw shared:1 - ${type} /dev/x rw\n`)
        .join(''),
    );
  });
  after(() => rmSync(root, { recursive: true }));

  const cases: readonly (readonly [string, AtRest['state'], RegExp?])[] = [
    ['crypt', 'encrypted'],
    ['lvm on crypt', 'encrypted'],
    ['twice', 'encrypted'],
    ['half', 'plain', /sdb1/],
    ['lvm', 'plain', /sdb1/],
    ['cryptic', 'plain', /sda1/],
    ['nfs', 'unseen', /nfs4/],
    ['overlay', 'unseen', /overlay/],
    ['loop', 'unseen', /used as a disk/],
    ['hidden', 'unseen', /9:9 is not shown/],
  ];
  for (const [name, state, detail = /^/] of cases)
    it(`is ${state} – ${name}`, async () => {
      mkdirSync(join(root, name), { recursive: true });
      const found = await atRestOf(join(root, name, 'not', 'made', 'yet'), files);
      assert.equal(found.state, state);
      assert.match(JSON.stringify(found), detail);
    });

  it('cannot be seen without the files of Linux', async () => {
    const found = await atRestOf(root, { mountinfo: join(root, 'none'), sys: join(root, 'none') });
    assert.deepEqual(found, {
      state: 'unseen',
      reason: 'the devices of this system cannot be read (ENOENT)',
    });
  });

  it('is reported for every data folder; the exit code is 0 only if all are encrypted', async () => {
    const settings = {
      data: join(root, 'crypt'),
      configFolder: join(root, 'crypt/config'),
      accessLog: join(root, 'lvm/access.log'),
      backupRepository: join(root, 'nfs'),
    };
    const folders = dataFolders(settings);
    for (const folder of [settings.data, dirname(settings.accessLog), settings.backupRepository])
      assert.ok(folders.has(folder), folder);
    const lines: string[] = [];
    const look = (path: string): Promise<AtRest> => atRestOf(path, files);
    assert.equal(await checkAtRest(folders, (line) => lines.push(line), look), 1);
    const text = lines.join('\n');
    assert.match(text, /\/crypt \(data: secrets\): encrypted by dm-crypt/);
    assert.match(text, /\/lvm \(access_log\): NOT encrypted by dm-crypt: sdb1;/);
    assert.match(text, /\/nfs \(backup_repository\): cannot see: the file system is nfs4/);
    const io = { env: { COUCHGATE_DATA: root }, stdin: process.stdin };
    const said: string[] = [];
    const stream = { write: (line: string) => said.push(line) };
    const run = (args: readonly string[]) =>
      runCommand('setup', args, { ...io, stdout: stream, stderr: stream });
    assert.equal(await run(['--check', '--wrong']), 2);
    assert.match(said.join(''), /^Usage: couchgate setup --check/);
    assert.notEqual(await run(['--check', join(root, 'crypt')]), 2);
    assert.match(said.join(''), /\/crypt \(named\): /);
    assert.equal(await checkAtRest(new Map([[settings.data, 'data']]), () => undefined, look), 0);
    assert.equal(await checkAtRest(new Map([[settings.backupRepository, 'x']]), () => undefined, look), 1);
  });
});
