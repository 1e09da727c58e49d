// Decides whether a process is ready to serve, for /readyz and for the cluster endpoint.
import { type Readiness } from './audit/metrics-server.ts';
import { type Services } from './services.ts';

/** The state of the process, for health checks. */
export interface ServerState {
  readonly isDraining: () => boolean;
  readonly canServe: () => boolean;
}

type Checked = Pick<Services, 'nodes' | 'store' | 'bus' | 'storeMajority'>;

/** Ready = at least one node accepts requests, and the process does not drain. */
export function readinessOf({ nodes, store, bus, storeMajority }: Checked, state: ServerState): Readiness {
  return {
    ready: state.canServe() && !state.isDraining(),
    checks: {
      draining: state.isDraining(),
      nodes_up: nodes.report().filter((node) => node.state === 'up').length,
      keys_known: store.up,
      news: bus.up,
      store_majority: storeMajority.isUp,
    },
  };
}
