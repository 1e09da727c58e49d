// Answers GET /_api/v2/cluster/check: what `couchgate setup` would say about the running cluster.
import { sendJson } from '../respond.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { type ClusterCheck } from '../setup/cluster-check.ts';
import { type Answers } from './index.ts';

/** Creates the handler. The check only reads, takes some seconds at most, and shows no value of a node. */
export function clusterCheckHandlers({
  clusterCheck,
  isStillPermitted,
}: {
  readonly clusterCheck: Pick<ClusterCheck, 'run'>;
  readonly isStillPermitted: IsStillPermitted;
}): Pick<Answers, 'api-cluster-check'> {
  return {
    async 'api-cluster-check'(_req, res, context) {
      const checked = await clusterCheck.run();
      // The nodes may have taken seconds (H19).
      await requireStillPermitted(isStillPermitted, context);
      sendJson(res, 200, checked, { 'Cache-Control': 'no-store' });
    },
  };
}
