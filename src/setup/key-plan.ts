// Decides which signing keys the nodes must accept, and removes retired ones.
import { type Settings } from '../config/settings.ts';
import { UsageError, type SetupArguments } from './arguments.ts';
import { hasAnother, keyInUse, kidsOf, newKey, retireKey, type SigningKey } from './keys.ts';
import { readConfig, type Report, type SetupNode } from './node.ts';

type KeySettings = Pick<Settings, 'jwtKid' | 'jwtSecret' | 'data'>;

/**
 * Returns the keys that every node must accept, the key in use first. Creates missing keys, removes the
 * retired key, and reports both. Rejects before any change if the secret of the key in use would be replaced
 * without `--replace-key`.
 */
export async function planKeys(
  nodes: readonly SetupNode[],
  options: Pick<SetupArguments, 'dryRun' | 'rotate' | 'retire' | 'replaceKey'>,
  settings: KeySettings,
  report: Report,
  now: () => number,
): Promise<readonly SigningKey[]> {
  const { dryRun, rotate, retire, replaceKey } = options;
  if (!replaceKey && !dryRun) await refuseToReplace(nodes, settings);
  if (retire !== undefined) await retireOn(nodes, retire, dryRun, settings, report);
  const { key, file } = keyInUse(settings, dryRun);
  if (file !== undefined) {
    const verb = dryRun ? 'would be' : 'is';
    report.line(`The key ${verb} stored in ${file}: start Couchgate with COUCHGATE_JWT_SECRET_FILE=${file}`);
  }
  if (!rotate) return [key];
  if (dryRun) {
    report.line('A second key would be created');
    return [key];
  }
  const taken = (await Promise.all(nodes.map(readConfig))).flatMap(kidsOf);
  const made = newKey(taken, settings.data, new Date(now()));
  report.line(
    `A second key is stored in ${made.file}. Restart every Couchgate with COUCHGATE_JWT_KID=${made.key.kid} and ` +
      `COUCHGATE_JWT_SECRET_FILE=${made.file}; after that, run setup --retire ${settings.jwtKid}`,
  );
  return [key, made.key];
}

/**
 * Rejects if a node has a different secret for the key in use, for example one from another machine or from
 * before a rotation: to replace it would lock out every Couchgate that signs with it.
 */
async function refuseToReplace(nodes: readonly SetupNode[], settings: KeySettings): Promise<void> {
  const { key } = keyInUse(settings, true);
  for (const node of nodes) {
    if (!hasAnother(await readConfig(node), key)) continue;
    throw new Error(
      `${node.name} has a different secret for the key ${key.kid}: to replace it would lock out every Couchgate that uses it. ` +
        'Run setup with the jwt_kid and jwt_secret of Couchgate (COUCHGATE_JWT_KID, COUCHGATE_JWT_SECRET_FILE), ' +
        'or with --replace-key if the old secret is not in use. Nothing was changed',
    );
  }
}

async function retireOn(
  nodes: readonly SetupNode[],
  kid: string,
  dryRun: boolean,
  settings: KeySettings,
  report: Report,
): Promise<void> {
  if (kid === settings.jwtKid)
    throw new UsageError(`${kid} is the key in use; change jwt_kid and jwt_secret first`);
  for (const node of nodes) {
    if (!dryRun) await retireKey(node, kid);
    report.line(`${dryRun ? 'Would be removed' : 'Removed'} on ${node.name}: [jwt_keys] ${kid}`);
  }
}
