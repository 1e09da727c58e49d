// An invalidation bus of this process alone: it delivers what is published at once.
import { type Invalidation, type InvalidationBus } from '../../src/invalidation/bus.ts';

export function localBus(): InvalidationBus {
  const listeners: ((invalidation: Invalidation) => void)[] = [];
  return {
    up: true,
    upUntil: Infinity,
    onInvalidation: (listener) => void listeners.push(listener),
    publish(invalidation) {
      for (const listener of listeners) listener(invalidation);
      return Promise.resolve();
    },
  };
}
