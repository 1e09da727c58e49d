// Defines the steps for _changes in every feed mode.
import { DB, get, post, type Step } from '../step.ts';

const CHANGES = `${DB}/_changes`;
const NOW = `${CHANGES}?since=now`;

export const changesSteps: readonly Step[] = [
  get('_changes', `${CHANGES}?limit=3`, { saveAs: 'seq' }),
  get('_changes include_docs desc', `${CHANGES}?include_docs=true&descending=true&limit=1`),
  get('_changes since=now', NOW),
  get(
    '_changes since=seq',
    (context) => `${CHANGES}?since=${encodeURIComponent(context.text('seq', 'last_seq'))}&limit=1`,
  ),
  post('_changes doc_ids', `${CHANGES}?filter=_doc_ids`, { body: { doc_ids: ['b2'] } }),
  post('_changes selector', `${CHANGES}?filter=_selector`, { body: { selector: { num: 5 } } }),
  get('_changes ddoc filter', `${CHANGES}?filter=v/onlyb`),
  get('_changes style=all_docs', `${CHANGES}?style=all_docs&filter=_doc_ids&doc_ids=%5B%22c1%22%5D`),
  get('_changes longpoll immediate', `${CHANGES}?feed=longpoll&limit=1`),
  get('_changes longpoll wait', `${NOW}&feed=longpoll`, {
    concurrentWrite: { afterMs: 600, path: `${DB}/lp1` },
  }),
  get('_changes longpoll timeout=500', `${NOW}&feed=longpoll&timeout=500`),
  get('_changes continuous', `${NOW}&feed=continuous&heartbeat=300`, {
    concurrentWrite: { afterMs: 400, path: `${DB}/cont1` },
    stopAfterMs: 1500,
  }),
  get('_changes continuous timeout=500', `${NOW}&feed=continuous&timeout=500`),
  get('_changes eventsource', `${NOW}&feed=eventsource&heartbeat=300`, {
    headers: { accept: 'text/event-stream' },
    concurrentWrite: { afterMs: 400, path: `${DB}/es1` },
    stopAfterMs: 1500,
  }),
];
