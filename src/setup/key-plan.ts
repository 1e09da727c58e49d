// Which keys the nodes are to accept: the one in use, a second one for a change-over; and which one they are to forget.
import { type Settings } from '../config/settings.ts';
import { UsageError, type SetupArguments } from './arguments.ts';
import { hasAnother, keyInUse, kidsOf, newKey, retireKey, type SigningKey } from './keys.ts';
import { readConfig, type Report, type SetupNode } from './node.ts';

type KeySettings = Pick<Settings, 'jwtKid' | 'jwtSecret' | 'data'>;

/**
 * The keys that every node must accept, the one in use first. Makes what is missing, takes away what is retired, and says both. Rejects before it
 * changes anything where the key in use would get another secret and nobody has asked for that.
 */
export async function planKeys(
  nodes: readonly SetupNode[],
  asked: Pick<SetupArguments, 'dryRun' | 'rotate' | 'retire' | 'replaceKey'>,
  settings: KeySettings,
  report: Report,
  now: () => number,
): Promise<readonly SigningKey[]> {
  const { dryRun, rotate, retire, replaceKey } = asked;
  if (!replaceKey && !dryRun) await refuseToReplace(nodes, settings);
  if (retire !== undefined) await retireOn(nodes, retire, dryRun, settings, report);
  const { key, file } = await keyInUse(settings, dryRun);
  if (file !== undefined) {
    const verb = dryRun ? 'would be' : 'is';
    report.line(`The key ${verb} kept in ${file}: start Couchgate with COUCHGATE_JWT_SECRET_FILE=${file}`);
  }
  if (!rotate) return [key];
  if (dryRun) {
    report.line('A second key would be made');
    return [key];
  }
  const taken = (await Promise.all(nodes.map(readConfig))).flatMap(kidsOf);
  const made = await newKey(taken, settings.data, new Date(now()));
  report.line(
    `A second key is in ${made.file}. Now start every Couchgate with COUCHGATE_JWT_KID=${made.key.kid} and ` +
      `COUCHGATE_JWT_SECRET_FILE=${made.file}; when all have changed over, run setup --retire ${settings.jwtKid}`,
  );
  return [key, made.key];
}

/** Another machine's secret, or the one before a change-over: whoever signs with the one that CouchDB has would be locked out. */
async function refuseToReplace(nodes: readonly SetupNode[], settings: KeySettings): Promise<void> {
  const { key } = await keyInUse(settings, true);
  for (const node of nodes) {
    if (!hasAnother(await readConfig(node), key)) continue;
    throw new Error(
      `${node.name} has another secret for the key ${key.kid}: replacing it would lock out every Couchgate that uses it. ` +
        'Run setup with the jwt_kid and jwt_secret that Couchgate has (COUCHGATE_JWT_KID, COUCHGATE_JWT_SECRET_FILE), ' +
        'or with --replace-key if nobody needs the old secret. Nothing was changed',
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
    throw new UsageError(`${kid} is the key in use: change jwt_kid and jwt_secret first`);
  for (const node of nodes) {
    if (!dryRun) await retireKey(node, kid);
    report.line(`${dryRun ? 'Would be removed' : 'Removed'} on ${node.name}: [jwt_keys] ${kid}`);
  }
}
