// Decides whether the CORS settings allow an origin and a preflight.
import { type Settings } from './settings.ts';

export type CorsSettings = Pick<Settings, 'enableCors' | 'allowCredentials' | 'origins'>;

/** Methods that CouchDB clients use. */
export const CORS_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'OPTIONS'] as const;

/** The value of Access-Control-Allow-Origin with the rule that allows it, or the reason of the refusal. */
export type OriginVerdict =
  | { readonly allow: true; readonly header: string; readonly rule: string }
  | { readonly allow: false; readonly reason: string };

export interface CorsRule {
  /** Decides about an Origin header. Origins are compared byte by byte (Fetch standard, "CORS check"). */
  judge(origin: string): OriginVerdict;
}

/** Builds the rule of one version of the settings. */
export function corsRule({ enableCors, origins }: CorsSettings): CorsRule {
  const verdicts = new Map<string, OriginVerdict>(
    origins.map((origin, index) => [origin, { allow: true, header: origin, rule: `origins[${index}]` }]),
  );
  const everybody = verdicts.has('*')
    ? ({ allow: true, header: '*', rule: 'origins "*"' } as const)
    : undefined;
  const disabled = { allow: false, reason: 'CORS is not enabled (enable_cors in cors.yaml)' } as const;
  const unlisted = { allow: false, reason: 'the origin is not in the list (origins in cors.yaml)' } as const;
  return {
    judge: (origin) => (enableCors ? (everybody ?? verdicts.get(origin) ?? unlisted) : disabled),
  };
}

export type PreflightVerdict =
  | { readonly allow: true; readonly origin: string; readonly rule: string; readonly headers: string }
  | { readonly allow: false; readonly reason: string };

const MAX_HEADER_LIST_LENGTH = 4096;

/**
 * Decides about a preflight by its origin, its method and the header names it announces. Every header name is
 * allowed: other checks decide which headers reach CouchDB, and a fixed list would break clients with custom
 * headers.
 */
export function judgePreflight(
  rule: CorsRule,
  origin: string,
  method: string,
  headers: string,
): PreflightVerdict {
  const verdict = rule.judge(origin);
  if (!verdict.allow) return verdict;
  if (!(CORS_METHODS as readonly string[]).includes(method))
    return { allow: false, reason: `the method is not one of ${CORS_METHODS.join(', ')}` };
  if (
    headers.length > MAX_HEADER_LIST_LENGTH ||
    !/^[\w!#$%&'*+.^`|~-]*(?:[ \t]*,[ \t]*[\w!#$%&'*+.^`|~-]+)*$/.test(headers)
  )
    return { allow: false, reason: 'Access-Control-Request-Headers is not a list of header names' };
  return { allow: true, origin: verdict.header, rule: verdict.rule, headers };
}
