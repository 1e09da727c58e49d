// `couchgate permissions check`: compares permission records with the security objects of every node.
import { mayHaveGrants, ownDatabases } from '../catalogue/database-name.ts';
import { readCouchdbCa } from '../config/couchdb-ca.ts';
import { loadConfiguration } from '../config/load.ts';
import { ConfigurationError } from '../config/problem.ts';
import { type Settings } from '../config/settings.ts';
import { createCouch, type CouchClient } from '../couch/client.ts';
import { nodeName } from '../couch/failure.ts';
import { createTokenMinter } from '../identity/token-minter.ts';
import { HttpError } from '../http-errors.ts';
import { allDatabases } from '../permissions/all-databases.ts';
import {
  checkDatabase,
  type Finding,
  type RecordCheckDeps,
  repairDatabase,
} from '../permissions/record-check.ts';
import { RecordCopies } from '../permissions/record-copies.ts';
import { PermissionRecords } from '../permissions/permission-records.ts';
import { type CommandIo } from './command.ts';
import { printable } from './terminal.ts';

export interface CheckArguments {
  readonly repair: boolean;
  readonly json: boolean;
  readonly databases: readonly string[];
}

/**
 * Runs the check. Exit codes: 0 = nothing differs (any more), 1 = something differs, 2 = invalid
 * configuration, 3 = CouchDB cannot be reached.
 */
export async function checkPermissions(parsed: CheckArguments, io: CommandIo): Promise<number> {
  const settings = settingsOf(io);
  if (settings === undefined) return 2;
  const couch = openClient(settings);
  try {
    return await check(settings, couch, parsed, io);
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    io.stderr.write(`couchgate: ${printable(`${error.reason} (${error.detail ?? error.error})`)}\n`);
    return 3;
  } finally {
    await couch.close();
  }
}

function settingsOf({ env, stderr }: CommandIo): Settings | undefined {
  try {
    const { settings } = loadConfiguration({ env });
    if (settings.couchdbNodes.length > 0) return settings;
    stderr.write(
      'couchgate: no couchdb_nodes configured; the embedded node has one copy, and nothing to compare\n',
    );
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    stderr.write(`${error.message}\n`);
  }
  return undefined;
}

function openClient(settings: Settings): CouchClient {
  const tokens = createTokenMinter({
    secret: Buffer.from(settings.jwtSecret, 'base64'),
    kid: settings.jwtKid,
    lifetimeSeconds: settings.jwtLifetimeSeconds,
  });
  const ca = readCouchdbCa(settings);
  return createCouch({
    pickNode: (tried) => settings.couchdbNodes.map((url) => ({ url })).find(({ url }) => !tried.has(url)),
    authorization: () => `Bearer ${tokens.tokenForSelf()}`,
    nodeFailed: () => undefined,
    connectTimeoutMs: settings.couchdbConnectTimeoutMs,
    ...(ca === undefined ? {} : { ca }),
  });
}

async function check(
  { couchdbNodes, storeDatabase }: Settings,
  couch: CouchClient,
  { repair, json, databases }: CheckArguments,
  { stdout, stderr }: CommandIo,
): Promise<number> {
  const report = (message: string, fields: object): unknown =>
    stderr.write(`${message}: ${JSON.stringify(fields)}\n`);
  const copies = new RecordCopies({ couch, storeDatabase });
  const records = new PermissionRecords({
    couch,
    copies,
    nodeUrls: couchdbNodes,
    now: Date.now,
    report: (message, fields) => void report(message, fields),
    // Running replicas learn of a repair from the feed of the store.
    onWritten: () => Promise.resolve(),
  });
  const deps: RecordCheckDeps = { couch, nodeUrls: couchdbNodes, records };
  const counts = { checked: 0, differing: 0, left: 0 };
  const own = ownDatabases(storeDatabase);
  const isKept = (name: string): boolean => mayHaveGrants(name, own);
  for await (const database of databases.length > 0 ? databases : allDatabases(couch, isKept)) {
    counts.checked += 1;
    const finding = await checkDatabase(deps, database);
    if (finding === undefined) continue;
    counts.differing += 1;
    const isRepaired = repair && (await isRepairedNow(deps, finding));
    if (!isRepaired) counts.left += 1;
    const line = json
      ? JSON.stringify({ ...finding, repaired: isRepaired })
      : printable(`${database}: ${describe(finding)}${isRepaired ? ', repaired' : ''}`);
    stdout.write(`${line}\n`);
  }
  const { checked, differing, left } = counts;
  if (!json) stdout.write(`${checked} databases checked, ${differing} differ, ${left} left\n`);
  return left === 0 ? 0 : 1;
}

/** Repairs until nothing differs: behind a lost record there can be an old copy. */
async function isRepairedNow(deps: RecordCheckDeps, finding: Finding): Promise<boolean> {
  let left: Finding | undefined = finding;
  for (let attempt = 0; left !== undefined && attempt < 3; attempt += 1) {
    await repairDatabase(deps, left);
    left = await checkDatabase(deps, left.database);
  }
  return left === undefined;
}

function describe({ drift, nodes }: Finding): string {
  return nodes.length === 0 ? drift : `${drift} at ${nodes.map(nodeName).join(', ')}`;
}
