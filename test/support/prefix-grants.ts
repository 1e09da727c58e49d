// Prefix grants and server grants that give nothing, for tests of other things.
import { NO_PREFIX_ACCESS } from '../../src/permissions/prefix-grants.ts';

export const NO_PREFIX_GRANTS = {
  isKnown: true,
  accessOf: () => NO_PREFIX_ACCESS,
  grantsOf: () => [],
  grantsOn: () => [],
};

export const NO_OTHER_GRANTS = {
  prefixGrants: NO_PREFIX_GRANTS,
  serverGrants: { isMonitor: () => false },
};
