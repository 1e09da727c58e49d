// A news desk that knows this process alone: what is published is heard at once.
import { type News, type NewsDesk } from '../../src/identity/news.ts';

export function loudDesk(): NewsDesk {
  const listeners: ((news: News) => void)[] = [];
  return {
    up: true,
    upUntil: Infinity,
    listen: (listener) => void listeners.push(listener),
    publish(news) {
      for (const listener of listeners) listener(news);
      return Promise.resolve();
    },
  };
}
