// Reads and changes the configuration of one node over HTTP.
import { fieldsOf, succeeded, type Admin } from './admin.ts';
import { judgeAll, type Finding, type NodeConfig, type Rule } from './rules.ts';

/** A node of the cluster, reached by its own URL if it is known, else through another node. */
export interface SetupNode {
  readonly name: string;
  readonly admin: Admin;
  /** Path segment after `/_node/`: `_local` if the node is reached by its own URL. */
  readonly segment: string;
  readonly isDirect: boolean;
}

export interface Report {
  line(text: string): void;
}

/** Result of the checks on one node. */
export interface NodeOutcome {
  readonly changed: boolean;
  readonly needsRestart: boolean;
  /** True if a problem needs a manual decision before the cluster is ready. */
  readonly blocked: boolean;
}

const pathOf = (node: SetupNode, section: string, key: string): string =>
  `/_node/${encodeURIComponent(node.segment)}/_config/${encodeURIComponent(section)}/${encodeURIComponent(key)}`;

/** Reads the whole configuration of a node. Throws if CouchDB refuses. */
export async function readConfig(node: SetupNode): Promise<NodeConfig> {
  const path = `/_node/${encodeURIComponent(node.segment)}/_config`;
  return fieldsOf(
    succeeded(await node.admin.ask('GET', path), `reading the settings of ${node.name}`),
  ) as NodeConfig;
}

/** Checks every rule, reports each result, and corrects wrong settings unless `dryRun`. */
export async function settle(
  node: SetupNode,
  config: NodeConfig,
  { dryRun, report }: { readonly dryRun: boolean; readonly report: Report },
): Promise<NodeOutcome> {
  let outcome: NodeOutcome = { changed: false, needsRestart: false, blocked: false };
  for (const { rule, finding, isBlocking } of judgeAll(config)) {
    report.line(describe(rule, finding, dryRun));
    if (finding.kind === 'fine') continue;
    if (finding.kind === 'look') {
      outcome = { ...outcome, blocked: outcome.blocked || isBlocking };
      continue;
    }
    if (!dryRun) await change(node, rule, finding);
    const needsRestart = outcome.needsRestart || rule.needsRestart === true;
    outcome = { ...outcome, changed: true, needsRestart };
  }
  return outcome;
}

/** Returns the settings that a restart has reset: an ini file that CouchDB does not write sets them. */
export function relapses(config: NodeConfig): readonly string[] {
  return judgeAll(config)
    .filter(({ finding: { kind } }) => kind === 'set' || kind === 'remove')
    .map(({ rule: { section, key } }) => `[${section}] ${key}`);
}

async function change(node: SetupNode, rule: Rule, finding: Finding): Promise<void> {
  const path = pathOf(node, rule.section, rule.key);
  const what = `[${rule.section}] ${rule.key} on ${node.name}`;
  if (finding.kind === 'set') succeeded(await node.admin.ask('PUT', path, finding.value), `setting ${what}`);
  if (finding.kind === 'remove') succeeded(await node.admin.ask('DELETE', path), `removing ${what}`);
}

function describe({ section, key, why }: Rule, finding: Finding, dryRun: boolean): string {
  const name = `[${section}] ${key}`;
  const would = dryRun ? 'would be ' : '';
  if (finding.kind === 'fine') return `  ok      ${name}`;
  if (finding.kind === 'set') return `  ${would}set ${name} = ${finding.value} – ${why}`;
  if (finding.kind === 'remove') return `  ${would}removed ${name} – ${why}`;
  return `  CHECK   ${name} – ${why}: ${finding.advice}`;
}

/**
 * Writes a secret setting. CouchDB logs the value of every changed setting at level `notice` (config.erl;
 * only [admins] is hidden). The log level is therefore `error` during the write; that change is not
 * persisted.
 * Pinned by test/hostile/h18-couchdb-settings.test.ts.
 */
export async function writeSecret(
  node: SetupNode,
  section: string,
  key: string,
  value: string,
): Promise<void> {
  const level = pathOf(node, 'log', 'level');
  const unwritten = { 'X-Couch-Persist': 'false' };
  const before = await node.admin.ask('GET', level);
  succeeded(await node.admin.ask('PUT', level, 'error', unwritten), `setting the log level of ${node.name}`);
  try {
    const doing = `setting [${section}] ${key} on ${node.name}`;
    succeeded(await node.admin.ask('PUT', pathOf(node, section, key), value), doing);
  } finally {
    if (before.status === 200) await node.admin.ask('PUT', level, before.body, unwritten);
    else await node.admin.ask('DELETE', level, undefined, unwritten);
  }
}

/** Removes a setting from the node; a missing one is not an error. */
export async function removeSetting(node: SetupNode, section: string, key: string): Promise<void> {
  const answer = await node.admin.ask('DELETE', pathOf(node, section, key));
  if (answer.status !== 404) succeeded(answer, `removing [${section}] ${key} on ${node.name}`);
}
