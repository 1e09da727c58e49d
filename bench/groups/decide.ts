// Measures parsing the target, classifying the operation and authorizing it, without sockets.
import { parseTarget } from '../../src/admit/target.ts';
import { decideNow } from '../../src/authorize/decide-now.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { type Store, type StoredDocument } from '../../src/couch/store.ts';
import { type Principal } from '../../src/principal/principal.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { PrefixGrants } from '../../src/permissions/prefix-grants.ts';
import { roleSet } from '../../src/permissions/role.ts';
import { type Group, type Plan, type Section } from '../group.ts';
import { median } from '../rounds.ts';
import { testSettings } from '../../test/support/settings.ts';

const MAX_MICROSECONDS = 3;
const LIMITS = { maxUrlBytes: 16_384 };
const BATCH = 200_000;

const KEY: Principal = { kind: 'key', name: 'somekey' };
const STRANGER: Principal = { kind: 'key', name: 'stranger' };
const PERMISSIONS: DatabasePermissions = {
  database: 'orders',
  grants: new Map([['somekey', roleSet(['_reader', '_writer'])]]),
  couchdbAuthOnly: false,
  marked: true,
};

const HOLDER: Principal = { kind: 'key', name: 'holder' };
const PREFIX_GRANTS = 1000;

interface Case {
  readonly name: string;
  readonly method: string;
  readonly url: string;
  readonly who: Principal;
}

const CASES: readonly Case[] = [
  { name: 'a document', method: 'GET', url: '/orders/5f2b0c9e8a7d6e5f4c3b2a19', who: KEY },
  { name: 'a document, escaped', method: 'GET', url: '/orders/customer%2F42%20north', who: KEY },
  { name: 'a document, refused', method: 'PUT', url: '/orders/5f2b0c9e8a7d6e5f4c3b2a19', who: STRANGER },
  {
    name: 'an attachment',
    method: 'GET',
    url: '/orders/5f2b0c9e8a7d6e5f4c3b2a19/invoices/2023/first.pdf',
    who: KEY,
  },
  { name: 'bulk documents', method: 'POST', url: '/orders/_bulk_docs', who: KEY },
  { name: 'all documents', method: 'GET', url: '/orders/_all_docs?limit=100&include_docs=true', who: KEY },
  {
    name: 'a view',
    method: 'GET',
    url: '/orders/_design/app/_view/by-customer?startkey=%5B%22north%22%5D&endkey=%5B%22north%22%2C%7B%7D%5D',
    who: KEY,
  },
  { name: 'changes', method: 'GET', url: '/orders/_changes?feed=longpoll&since=now', who: KEY },
  { name: 'a document, by one of 1 000 prefix grants', method: 'GET', url: '/tenant-777-a/doc', who: HOLDER },
  { name: 'a document, by none of 1 000 prefix grants', method: 'GET', url: '/orders/doc', who: HOLDER },
  { name: 'an unknown endpoint', method: 'GET', url: '/_node/_local/_config', who: KEY },
];

export const decision: Group = {
  name: 'decide',
  title: 'Decide: from the request target to the decision',
  run,
};

/** A principal with 1 000 grants, as in production but without a store. */
function manyGrants(): PrefixGrants {
  const documents = Array.from({ length: PREFIX_GRANTS }, (_, at) => ({
    _id: `prefix_grant:${at}`,
    _rev: '1-a',
    ...{ principal: 'holder', databases: `tenant-${at}-*`, roles: ['_reader'], create: false, delete: false },
  }));
  const grants = new PrefixGrants({
    store: {
      up: true,
      onRow: () => undefined,
      onState: (listener: (up: boolean) => void) => queueMicrotask(() => listener(true)),
      each(_prefix: string, take: (document: StoredDocument) => void) {
        documents.forEach(take);
        return Promise.resolve();
      },
    } as unknown as Store,
    bus: { onMessage: () => undefined, publish: () => Promise.resolve(), deliver: () => undefined },
    rules: { isOrdinary: () => true, ownDatabases: ['couchgate'], adopt: [] },
    ...{ fallbackCacheSeconds: 2, outageCacheSeconds: 60, now: Date.now, report: () => undefined },
  });
  return grants;
}

async function run(plan: Plan): Promise<Section> {
  const prefixGrants = manyGrants();
  const grants = { prefixGrants, serverGrants: { isMonitor: () => false } };
  while (!prefixGrants.isKnown) await new Promise((resolve) => setImmediate(resolve));
  const classify = createClassify(testSettings());
  let allowed = 0;
  const microseconds = (cases: readonly Case[]): number => {
    const startedAt = performance.now();
    for (let n = 0; n < BATCH; n += 1) {
      const { method, url, who } = cases[n % cases.length] as Case;
      const operation = classify(method, parseTarget(url, LIMITS), undefined);
      // Counted, so that the compiler cannot remove the work.
      if (decideNow(grants, who, operation, PERMISSIONS, undefined).allow) allowed += 1;
    }
    return ((performance.now() - startedAt) / BATCH) * 1000;
  };
  const measured = [
    { name: 'all of them in turn', cases: CASES },
    ...CASES.map((one) => ({ name: one.name, cases: [one] })),
  ];
  for (const { cases } of measured) microseconds(cases);
  const times = measured.map(() => [] as number[]);
  for (let round = 0; round < plan.rounds; round += 1) {
    measured.forEach(({ cases }, at) => times[at]?.push(microseconds(cases)));
  }
  if (allowed === 0) throw new Error('nothing was allowed');
  const medians = times.map(median);
  const worst = Math.max(...medians);
  prefixGrants.close();
  return {
    text:
      `Parsing the target, classify and decide, after warm-up, in one process; ${String(plan.rounds)} interleaved rounds of ${String(BATCH)} ` +
      'requests, median in microseconds per request.',
    tables: [
      {
        columns: ['', 'µs', 'lowest … highest'],
        rows: measured.map(({ name }, at) => [
          name,
          (medians[at] ?? NaN).toFixed(2),
          `${Math.min(...(times[at] ?? [])).toFixed(2)} … ${Math.max(...(times[at] ?? [])).toFixed(2)}`,
        ]),
      },
    ],
    findings: [
      {
        target: `a decision < ${String(MAX_MICROSECONDS)} µs`,
        measured: `${(medians[0] ?? NaN).toFixed(2)} µs in the mix, ${worst.toFixed(2)} µs at worst`,
        holds: worst < MAX_MICROSECONDS,
      },
    ],
  };
}
