// Checks the settings of a running node by the rules of `couchgate setup`, and changes nothing.
import { type Couch } from '../couch/couch.ts';
import { fieldsOf } from './admin.ts';
import { readConfig, type SetupNode } from './node.ts';
import { runningHandlers, runsOurHandlers } from './restart.ts';
import { judgeAll, type Judged } from './rules.ts';

/** `advice` = worth a look; the node is ready without it. */
export type CheckResult = 'passed' | 'failed' | 'advice';

/** What a rule says about a node. It contains no value that the node has: some of them are secrets. */
export interface SettingCheck {
  /** `[chttpd] enable_cors` */
  readonly check: string;
  readonly result: CheckResult;
  readonly why: string;
  /** Null = nothing to do. */
  readonly remedy: string | null;
}

/** `away` = no answer; `refused` = the node does not accept our token; `no settings` = it shows none. */
export type CheckState = 'checked' | 'away' | 'refused' | 'no settings';

export interface CheckedNode {
  readonly state: CheckState;
  readonly checks: readonly SettingCheck[];
}

/** Of each request; a GET is sent a second time if its connection breaks. */
const TIMEOUT_MS = 4000;
const NOTHING: readonly SettingCheck[] = Object.freeze([]);

/** Checks one node, as Couchgate itself. Never rejects: a node that does not answer is a result. */
export async function checkSettings(couch: Pick<Couch, 'ask'>, url: string): Promise<CheckedNode> {
  let refusal: CheckState | undefined;
  const node: SetupNode = {
    name: url,
    segment: '_local',
    isDirect: true,
    admin: {
      url,
      async ask(method, path) {
        if (method !== 'GET') throw new Error('a check changes nothing');
        const { status, body } = await couch.ask({ method, path, node: url, timeoutMs: TIMEOUT_MS });
        if (status >= 400) refusal ??= status === 401 || status === 403 ? 'refused' : 'no settings';
        return { status, body, headers: {} };
      },
    },
  };
  try {
    const [config, handlers] = await Promise.all([readConfig(node), runningHandlers(node)]);
    if (Object.keys(fieldsOf(config)).length === 0) return { state: 'no settings', checks: NOTHING };
    return { state: 'checked', checks: [...judgeAll(config).map(describe), describeHandlers(handlers)] };
  } catch {
    return { state: refusal ?? 'away', checks: NOTHING };
  }
}

function describe({ rule, finding, isBlocking }: Judged): SettingCheck {
  const { section, key, why, remedy, needsRestart = false } = rule;
  const check = `[${section}] ${key}`;
  const after = needsRestart ? ', then restart the node' : '';
  switch (finding.kind) {
    case 'fine':
      return { check, result: 'passed', why, remedy: null };
    case 'set':
      return {
        check,
        result: 'failed',
        why,
        remedy: `${remedy ?? `set it to \`${finding.value}\``}${after}`,
      };
    case 'remove':
      return { check, result: 'failed', why, remedy: `remove the setting${after}` };
    case 'look':
      return { check, result: isBlocking ? 'failed' : 'advice', why, remedy: finding.advice };
  }
}

function describeHandlers(handlers: readonly string[]): SettingCheck {
  const isFine = runsOurHandlers(handlers);
  return {
    check: 'running authentication handlers',
    result: isFine ? 'passed' : 'failed',
    why: 'the node reads its authentication handlers at its start',
    remedy: isFine ? null : 'restart the node',
  };
}
