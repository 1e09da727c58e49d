// A news desk that knows this process alone: what is published is heard at once.
import { type Invalidation, type InvalidationBus } from '../../src/invalidation/bus.ts';

export function loudDesk(): InvalidationBus {
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
