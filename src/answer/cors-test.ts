// Answers POST /_api/v2/cors/test: whether a preflight would pass, and which rule decides.
import { type BodyReader } from '../body/read.ts';
import { corsHint } from '../config/cors-hint.ts';
import { corsRule, type CorsSettings, judgePreflight } from '../config/cors-rule.ts';
import { BadRequest } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';

export interface CorsTestDeps {
  readonly bodies: BodyReader;
  readonly live: { readonly current: CorsSettings };
}

const RULES = { limitBytes: 16_384 } as const;
const FIELDS = ['origin', 'method', 'headers'];

/**
 * Creates the handler. It judges with the settings in force and the code that answers preflights, so that it
 * cannot disagree with them. `couchgate cors-check` is the same for the files.
 */
export function corsTestHandlers({ bodies, live }: CorsTestDeps): Pick<Answers, 'api-cors-test'> {
  return {
    async 'api-cors-test'(req, res) {
      const body = await bodies.jsonObject(req, res, RULES);
      const unknown = Object.keys(body).filter((name) => !FIELDS.includes(name));
      if (unknown.length > 0) throw new BadRequest(`Unknown fields: ${unknown.join(', ')}`);
      const origin = textIn(body['origin'], 'origin');
      const method = textIn(body['method'] ?? 'GET', 'method');
      const headers = textIn(body['headers'] ?? '', 'headers');
      const settings = live.current;
      const verdict = judgePreflight(corsRule(settings), origin, method, headers);
      if (verdict.allow) {
        sendJson(res, 200, { allowed: true, rule: verdict.rule, credentials: settings.allowCredentials });
        return;
      }
      const isOriginAllowed = corsRule(settings).judge(origin).allow;
      const hint = isOriginAllowed ? undefined : corsHint(origin, settings);
      sendJson(res, 200, { allowed: false, reason: verdict.reason, hint: hint ?? null });
    },
  };
}

function textIn(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new BadRequest(`\`${name}\` must be a string`);
  return value;
}
