// `couchgate setup`: prepares a CouchDB cluster for Couchgate and reports findings, changes and remaining
// steps. Runs the steps in order.
import { readCouchdbCa } from '../config/couchdb-ca.ts';
import { type Settings } from '../config/settings.ts';
import { type Environment } from '../config/sources.ts';
import { openAdmin, reasonOf, refuseCouchgate, type Admin } from './admin.ts';
import { settleDatabases } from './adopt.ts';
import { parseSetupArguments, SETUP_USAGE, UsageError, type SetupArguments } from './arguments.ts';
import { clusterNodes, joinCluster, nodeName, type JoinLimits } from './join.ts';
import { planKeys } from './key-plan.ts';
import { comesToAcceptTokens, settleKeys, type SigningKey } from './keys.ts';
import { readConfig, relapses, settle, type Report, type SetupNode } from './node.ts';
import { restartNode, runningHandlers, runsOurHandlers } from './restart.ts';
import { makeSecrets } from './secrets.ts';

export type SetupSettings = Pick<Settings, 'jwtKid' | 'jwtSecret' | 'data' | 'couchdbCa' | 'storeDatabase'>;

export interface SetupParameters {
  readonly args: readonly string[];
  readonly env: Environment;
  /** Called after the arguments are validated; may throw a ConfigurationError. */
  readonly settings: () => SetupSettings;
  /** Prints one line of the report, without line feed; never a credential. */
  readonly print: (line: string) => void;
  /** Prompts for a password without echo; undefined without a terminal. */
  readonly askPassword?: ((question: string) => Promise<string>) | undefined;
  readonly now?: () => number;
  readonly joinLimits?: JoinLimits;
}

/** Fresh nodes create their files first; nodes of an existing cluster may start together with setup. */
const JOIN_LIMITS: JoinLimits = { timeoutMs: 120_000, graceMs: 45_000 };

type Admins = readonly [Admin, ...Admin[]];

/**
 * Runs the command and resolves with its exit code (see SETUP_USAGE). Never rejects: every failure is a line
 * of the report.
 */
export async function runSetup(parameters: SetupParameters): Promise<number> {
  const { print } = parameters;
  try {
    const options = parseSetupArguments(parameters.args, parameters.env);
    const run = new SetupRun(options, parameters);
    return (await run.all()) ? 0 : 1;
  } catch (error) {
    print(`couchgate setup: ${reasonOf(error)}`);
    if (!(error instanceof UsageError)) return 1;
    print(SETUP_USAGE);
    return 2;
  }
}

class SetupRun {
  readonly #options: SetupArguments;
  readonly #parameters: SetupParameters;
  readonly #settings: SetupSettings;
  readonly #report: Report;
  readonly #now: () => number;

  constructor(options: SetupArguments, parameters: SetupParameters) {
    this.#options = options;
    this.#parameters = parameters;
    this.#settings = parameters.settings();
    this.#report = { line: parameters.print };
    this.#now = parameters.now ?? Date.now;
  }

  /** Runs all steps; true if the cluster is ready. */
  async all(): Promise<boolean> {
    const { makeSecrets: folder, user, dryRun, adopt } = this.#options;
    if (folder !== undefined)
      makeSecrets(folder, { kid: this.#settings.jwtKid, admin: user, report: this.#report });
    const admins = await this.#openAdmins();
    const [one] = admins;
    if (one === undefined) return true;
    const all = [one, ...admins.slice(1)] as const;
    await Promise.all(all.map(refuseCouchgate));
    const nodes = this.#options.join && !dryRun ? await this.#join(all) : await this.#nodes(all);
    const [{ admin: first }] = nodes;
    const keys = await planKeys(nodes, this.#options, this.#settings, this.#report, this.#now);
    const settled = await this.#settleNodes(nodes, keys);
    this.#report.line('Existing databases');
    const { storeDatabase } = this.#settings;
    await settleDatabases(first, {
      storeDatabase,
      patterns: adopt,
      dryRun,
      now: this.#now,
      report: this.#report,
    });
    return settled;
  }

  async #openAdmins(): Promise<readonly Admin[]> {
    const { urls, user } = this.#options;
    if (urls.length === 0) return [];
    const password =
      this.#options.password ?? (await this.#parameters.askPassword?.(`Password of ${user}: `));
    if (password === undefined)
      throw new UsageError('no password: use --password-file or COUCHGATE_ADMIN_PASSWORD');
    const ca = readCouchdbCa(this.#settings);
    const credentials = { name: user, password };
    return urls.map((url) => openAdmin({ url, credentials, ...(ca === undefined ? {} : { ca }) }));
  }

  /** Joins the nodes and returns those that can be used now. */
  async #join(admins: Admins): Promise<readonly [SetupNode, ...SetupNode[]]> {
    const limits = this.#parameters.joinLimits ?? JOIN_LIMITS;
    const { present, names, missing } = await joinCluster(admins, limits);
    this.#report.line(`Joined one cluster: ${names.join(', ')}`);
    for (const { node, reason } of missing)
      this.#report.line(`  MISSING ${node}: ${reason}. Run setup again when it is back`);
    const [first, ...others] = await this.#nodes(present);
    return [first, ...others.filter(({ name }) => names.includes(name))];
  }

  /** Returns every node of the cluster. A node without a URL is reached through the first one. */
  async #nodes(admins: Admins): Promise<readonly [SetupNode, ...SetupNode[]]> {
    const [first, ...others] = admins;
    const direct = async (admin: Admin): Promise<SetupNode> => {
      return { name: await nodeName(admin), admin, segment: '_local', isDirect: true };
    };
    const nodes: [SetupNode, ...SetupNode[]] = [await direct(first)];
    for (const admin of others) nodes.push(await direct(admin));
    for (const name of await clusterNodes(first))
      if (nodes.every((node) => node.name !== name))
        nodes.push({ name, admin: first, segment: name, isDirect: false });
    return nodes;
  }

  async #settleNodes(nodes: readonly SetupNode[], keys: readonly SigningKey[]): Promise<boolean> {
    const { dryRun } = this.#options;
    const options = { dryRun, report: this.#report };
    let isReady = true;
    for (const node of nodes) {
      this.#report.line(
        node.isDirect ? `${node.name} (${node.admin.url})` : `${node.name} (through ${node.admin.url})`,
      );
      const config = await readConfig(node);
      const outcome = await settle(node, config, options);
      const newKeys = await settleKeys(node, config, keys, options);
      const isRunning = await this.#isRunning(node, outcome.needsRestart);
      const isAccepted = !dryRun && isRunning && node.isDirect && (await this.#check(node, keys));
      if (!node.isDirect)
        this.#report.line('  CHECK   restart and tokens cannot be tested: pass the URL of this node');
      isReady &&=
        node.isDirect &&
        !outcome.blocked &&
        isRunning &&
        (dryRun ? !outcome.changed && !newKeys : isAccepted);
    }
    return isReady;
  }

  /**
   * True if the node runs with the configured authentication handlers, after a restart if `--restart` is set.
   * Only a direct connection shows the running handlers.
   */
  async #isRunning(node: SetupNode, changed: boolean): Promise<boolean> {
    const { dryRun, restart } = this.#options;
    const handlers = node.isDirect ? await runningHandlers(node) : undefined;
    const runs = handlers === undefined ? !changed : runsOurHandlers(handlers);
    if (runs) return true;
    if (dryRun || !restart) {
      this.#report.line('  RESTART authentication handlers change at the next start; use --restart');
      return false;
    }
    await restartNode(node);
    this.#report.line('  restarted');
    const back = relapses(await readConfig(node));
    for (const setting of back)
      this.#report.line(
        `  CHECK   ${setting} has its old value again: an ini file that CouchDB does not write sets it`,
      );
    return back.length === 0;
  }

  async #check(node: SetupNode, keys: readonly SigningKey[]): Promise<boolean> {
    for (const key of keys) {
      const isAccepted = await comesToAcceptTokens(node.admin, key, this.#now);
      this.#report.line(
        `  ${isAccepted ? 'ok      accepts' : 'CHECK   does not accept'} tokens of the key ${key.kid}`,
      );
      if (!isAccepted) return false;
    }
    return true;
  }
}
