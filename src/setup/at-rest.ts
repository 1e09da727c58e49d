// Finds out whether the block device below a folder is encrypted by dm-crypt (LUKS), from the mounts of this
// process and the device tree of Linux.
import { access, readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export type AtRest =
  /** Every device below is, or is on, a dm-crypt device. */
  | { readonly state: 'encrypted' }
  /** The named device has no dm-crypt below it. */
  | { readonly state: 'plain'; readonly device: string }
  | { readonly state: 'unseen'; readonly reason: string };

/** Where the kernel shows mounts and devices; tests make their own. */
export interface KernelFiles {
  readonly mountinfo: string;
  readonly sys: string;
}

const KERNEL: KernelFiles = { mountinfo: '/proc/self/mountinfo', sys: '/sys' };
/** LVM on RAID on crypt is three; more is a loop. */
const MAX_DEPTH = 16;

interface Mount {
  /** `major:minor` */
  readonly device: string;
  readonly point: string;
  readonly type: string;
}

/**
 * Looks at the device of the nearest folder that exists. `unseen` for everything that is no local block
 * device, and on other systems than Linux: nobody may take silence for encryption.
 */
export async function atRestOf(path: string, files: KernelFiles = KERNEL): Promise<AtRest> {
  try {
    const mount = mountOf(await existingFolder(path), await readFile(files.mountinfo, 'utf8'));
    if (mount === undefined) return { state: 'unseen', reason: 'its mount is not known' };
    if (mount.device.startsWith('0:'))
      return { state: 'unseen', reason: `the file system is ${mount.type}, which shows no block device` };
    return await ofDevice(join(files.sys, 'dev/block', mount.device), mount.device, 0);
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    return { state: 'unseen', reason: `the devices of this system cannot be read (${code})` };
  }
}

async function existingFolder(path: string): Promise<string> {
  let folder = path;
  while (!(await exists(folder)) && dirname(folder) !== folder) folder = dirname(folder);
  return realpath(folder);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * The mount that holds the path: the longest mount point above it; of several on one point, the last.
 * https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts
 */
function mountOf(path: string, mountinfo: string): Mount | undefined {
  let found: Mount | undefined;
  for (const line of mountinfo.split('\n')) {
    const [, , device = '', , escaped = '', ...rest] = line.split(' ');
    const type = rest[rest.indexOf('-') + 1] ?? '';
    const point = escaped.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(parseInt(octal, 8)),
    );
    if (point === '' || !isAbove(point, path)) continue;
    if (found === undefined || point.length >= found.point.length) found = { device, point, type };
  }
  return found;
}

function isAbove(point: string, path: string): boolean {
  return path === point || path.startsWith(point.endsWith('/') ? point : `${point}/`);
}

async function ofDevice(node: string, device: string, depth: number): Promise<AtRest> {
  if (!(await exists(node))) return { state: 'unseen', reason: `the device ${device} is not shown here` };
  if (depth > MAX_DEPTH) return { state: 'unseen', reason: 'too many devices are stacked' };
  const name = basename(await realpath(node));
  if ((await textOf(join(node, 'dm/uuid'))).startsWith('CRYPT-')) return { state: 'encrypted' };
  const slaves = await listOf(join(node, 'slaves'));
  if (slaves.length === 0) {
    if (await exists(join(node, 'loop')))
      return { state: 'unseen', reason: `${name} is a file that is used as a disk` };
    return { state: 'plain', device: name };
  }
  // Of a volume over several devices, each must be encrypted.
  const below = await Promise.all(
    slaves.map((slave) => ofDevice(join(node, 'slaves', slave), slave, depth + 1)),
  );
  return (
    below.find(({ state }) => state === 'plain') ?? below.find(({ state }) => state === 'unseen') ?? ENCRYPTED
  );
}

const ENCRYPTED: AtRest = { state: 'encrypted' };

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

function listOf(path: string): Promise<readonly string[]> {
  return readdir(path).catch(() => []);
}
