// Checks all nodes and data folders for `GET /_api/v2/cluster/check`: one run at a time, kept for seconds.
import { type Couch } from '../couch/couch.ts';
import { nodeName } from '../couch/failure.ts';
import { atRestOf, type AtRest } from './at-rest.ts';
import { checkSettings, type CheckedNode } from './settings-check.ts';

export interface InstallationCheckOptions {
  readonly couch: Pick<Couch, 'ask'>;
  /** `state` and `reason` as forwarding knows them. */
  readonly nodes: {
    report(): readonly { readonly url: string; readonly state: string; readonly reason: string }[];
  };
  /** What each folder is for, by its path (`dataFolders`). */
  readonly folders: ReadonlyMap<string, string>;
  readonly lookAt?: (path: string) => Promise<AtRest>;
  readonly folderTimeoutMs?: number;
  readonly now?: () => number;
}

/** The answer of the endpoint. */
export interface InstallationReport {
  /** ISO 8601. */
  readonly checked_at: string;
  /** True if every node was checked and no rule failed. Encryption at rest does not count. */
  readonly passed: boolean;
  readonly nodes: readonly ({ readonly node: string; readonly reason: string | null } & CheckedNode)[];
  /** Without paths: they are the operator's. */
  readonly folders: readonly {
    readonly folder: string;
    readonly encryption: string;
    readonly reason?: string;
  }[];
}

/** Clicks within this time get the same answer. */
const MAX_AGE_MS = 5000;
const FOLDER_TIMEOUT_MS = 3000;
/** Reads of folders that may wait for good. Each occupies one of the four threads that read files. */
const MAX_SILENT = 2;
const SILENT: AtRest = { state: 'unseen', reason: 'its file system does not answer' };
const NOT_LOOKED_AT: AtRest = {
  state: 'unseen',
  reason: 'it was not looked at: the file systems of other folders do not answer',
};
/** States of a node that answers. Others are not asked, so that no request waits for its timeout. */
const ANSWERING = new Set(['up', 'half-open', 'draining']);

export class InstallationCheck {
  readonly #options: InstallationCheckOptions;
  readonly #now: () => number;
  #running: Promise<InstallationReport> | undefined;
  #last: { readonly at: number; readonly checked: InstallationReport } | undefined;
  /** Reads that have not ended: a folder on a dead network mount occupies a thread for good. */
  readonly #looking = new Set<string>();

  constructor(options: InstallationCheckOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Runs the check, or takes the one that runs or has just run. */
  run(): Promise<InstallationReport> {
    if (this.#last !== undefined && this.#now() - this.#last.at < MAX_AGE_MS)
      return Promise.resolve(this.#last.checked);
    this.#running ??= this.#check().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #check(): Promise<InstallationReport> {
    const { nodes: known, folders: named } = this.#options;
    const [nodes, folders] = await Promise.all([
      Promise.all(known.report().map((node) => this.#checkNode(node))),
      this.#folders(named),
    ]);
    const passed = nodes.every(
      ({ state, checks }) => state === 'checked' && checks.every(({ result }) => result !== 'failed'),
    );
    const at = this.#now();
    const checked = { checked_at: new Date(at).toISOString(), passed, nodes, folders };
    this.#last = { at, checked };
    return checked;
  }

  async #checkNode({
    url,
    state,
    reason,
  }: ReturnType<InstallationCheckOptions['nodes']['report']>[number]): Promise<
    InstallationReport['nodes'][number]
  > {
    const node = nodeName(url);
    if (!ANSWERING.has(state))
      return { node, state: 'away', reason: reason === '' ? null : reason, checks: [] };
    return { node, reason: null, ...(await checkSettings(this.#options.couch, url)) };
  }

  /** One folder after the other, so that a slow file system occupies one thread. */
  async #folders(named: ReadonlyMap<string, string>): Promise<InstallationReport['folders']> {
    const found: InstallationReport['folders'][number][] = [];
    for (const [path, folder] of named) {
      const state = await this.#look(path);
      found.push({
        folder,
        encryption: state.state,
        ...(state.state === 'unseen' ? { reason: state.reason } : {}),
      });
    }
    return found;
  }

  async #look(path: string): Promise<AtRest> {
    const { lookAt = atRestOf, folderTimeoutMs = FOLDER_TIMEOUT_MS } = this.#options;
    // The read of an earlier run may still wait.
    if (this.#looking.has(path)) return SILENT;
    if (this.#looking.size >= MAX_SILENT) return NOT_LOOKED_AT;
    this.#looking.add(path);
    let timer: NodeJS.Timeout | undefined;
    const look = lookAt(path).finally(() => this.#looking.delete(path));
    const late = new Promise<AtRest>((resolve) => {
      timer = setTimeout(() => resolve(SILENT), folderTimeoutMs);
    });
    return Promise.race([look, late]).finally(() => clearTimeout(timer));
  }
}
