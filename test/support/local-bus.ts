// An invalidation bus within this process: a publish calls every listener before it resolves.
import { type BusMessage, type InvalidationBus } from '../../src/invalidation/bus.ts';

export function localBus(): InvalidationBus {
  const listeners: ((invalidation: BusMessage) => void)[] = [];
  return {
    up: true,
    upUntil: Infinity,
    onMessage: (listener) => void listeners.push(listener),
    publish(invalidation) {
      for (const listener of listeners) listener(invalidation);
      return Promise.resolve();
    },
  };
}
