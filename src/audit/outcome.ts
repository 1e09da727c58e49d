// Interprets how a request ended. Access log, metrics and termination state use this interpretation only.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Context, type CutReason, PARTY_OF } from '../context.ts';

/** Whether a request was permitted, by which rule, and why not. */
export interface Interpretation {
  readonly decision: 'allow' | 'deny';
  /** The decision in the metrics; `refused` = ended before authorize decided. */
  readonly counted: 'allow' | 'deny' | 'refused';
  readonly rule: string;
  readonly reason: string | undefined;
}

/** Cached: only few rules permit, and all their names are in the code. */
const allowedBy = new Map<string, Interpretation>();

function allowed(rule: string): Interpretation {
  let made = allowedBy.get(rule);
  if (made === undefined) {
    made = Object.freeze({ decision: 'allow', counted: 'allow', rule, reason: undefined });
    allowedBy.set(rule, made);
  }
  return made;
}

/**
 * A refusal by a later step overrides a decision to permit. Without a decision, the rule is that of the step
 * that refused, or of the first step that was not reached. `status` is the status of the answer.
 */
export function interpret(context: Context, status: number): Interpretation {
  const { decision, outcome } = context;
  const { refusal } = outcome;
  if (decision?.allow === true && refusal === undefined) return allowed(decision.rule);
  if (outcome.isPreflight) {
    const passed = status < 400;
    return passed
      ? allowed('preflight')
      : { decision: 'deny', counted: 'allow', rule: 'preflight', reason: undefined };
  }
  const counted = decision === undefined ? 'refused' : 'deny';
  if (refusal !== undefined) return { decision: 'deny', counted, rule: refusal.rule, reason: refusal.reason };
  if (decision?.allow === false)
    return { decision: 'deny', counted, rule: decision.rule, reason: decision.reason };
  return { decision: 'deny', counted, rule: missingStep(context), reason: undefined };
}

/** The rule of a refusal before authorize that recorded no rule, derived from the first missing field. */
function missingStep(context: Context): string {
  if (context.client === undefined) return 'address';
  if (context.target === undefined) return 'malformed';
  if (context.identified === undefined) return 'credentials';
  return 'undecided';
}

/**
 * How the exchange ended, in HAProxy's letters, as in Cloudant's log. First letter: C client, S CouchDB, P
 * Couchgate, K ended by Couchgate while it ran, or -. Second letter, the phase: R request, H waiting for the
 * head, D data, or -. Source: HAProxy configuration manual, "Session state at disconnection". The cookie
 * letters are always `--`.
 */
export function terminationState(context: Context, req: IncomingMessage, res: ServerResponse): string {
  const { decision, outcome, upstream } = context;
  const { cutShort } = outcome;
  if (res.writableFinished) {
    if (cutShort !== undefined) return `${party(cutShort)}D--`;
    if (decision?.allow === true && outcome.refusal === undefined)
      return upstream.sentAt !== undefined && res.statusCode >= 502 ? 'SH--' : '----';
    return res.statusCode < 400 ? '----' : 'PR--';
  }
  const phase = !req.complete && upstream.answeredAt === undefined ? 'R' : res.headersSent ? 'D' : 'H';
  return `${party(cutShort)}${phase}--`;
}

/** An answer that nothing cut short, and that was not finished, was left by its client. */
function party(cutShort: CutReason | undefined): string {
  return PARTY_OF[cutShort ?? 'client left'];
}
