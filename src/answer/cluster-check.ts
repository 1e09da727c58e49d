// Answers GET /_api/v2/cluster/check: what `couchgate setup` would say about the running cluster.
import { sendJson } from '../respond.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { type InstallationCheck } from '../setup/installation-check.ts';
import { type Answers } from './index.ts';

/** Creates the handler. The check only reads, takes some seconds at most, and shows no value of a node. */
export function clusterCheckHandlers({
  installationCheck,
  isStillPermitted,
}: {
  readonly installationCheck: Pick<InstallationCheck, 'run'>;
  readonly isStillPermitted: IsStillPermitted;
}): Pick<Answers, 'api-cluster-check'> {
  return {
    async 'api-cluster-check'(_req, res, context) {
      const checked = await installationCheck.run();
      // The nodes may have taken seconds (H19).
      await requireStillPermitted(isStillPermitted, context);
      sendJson(res, 200, checked, { 'Cache-Control': 'no-store' });
    },
  };
}
