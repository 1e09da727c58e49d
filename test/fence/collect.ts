// Makes hostile.jsonl out of what hostile tests have sent in two runs (COUCHGATE_KEEP_REQUESTS, test/support/raw-http.ts).
import { EXCHANGE_HEADER } from '../support/policy-front.ts';

/** Larger ones are about limits, which have tests of their own. */
const LONGEST = 8192;
const EXCHANGE = new RegExp(`${EXCHANGE_HEADER}: attack-\\d+\r\n`, 'gi');

/** The requests that both runs have sent, without the names of their exchanges: what has random names or ports is left out. */
export function stableRequests(first: string, second: string): string {
  const again = requestsIn(second);
  return [...requestsIn(first)]
    .filter((text) => again.has(text))
    .sort()
    .map((text) => `${JSON.stringify(text)}\n`)
    .join('');
}

function requestsIn(kept: string): Set<string> {
  const texts = kept
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as string).replace(EXCHANGE, ''));
  return new Set(texts.filter((text) => text.length <= LONGEST));
}
