// Opens many continuous feeds on raw connections and notes when each change arrives.
import net from 'node:net';

export interface FeedLoad {
  readonly url: string;
  readonly authorization: string;
  readonly path: string;
  readonly count: number;
}

export interface Feeds {
  /** A document id that carries the time of its making. */
  readonly stamp: () => string;
  /** Milliseconds from stamp to arrival, one for every change on every feed. */
  readonly delays: () => number[];
  /** Resolves when every feed has seen so many changes, or after that many milliseconds. */
  readonly settled: (changes: number, withinMs: number) => Promise<void>;
  readonly close: () => void;
}

/** How many feeds may be waiting for their head at once. */
const OPENING = 50;
const STAMP = /"id":"at-(\d+\.\d+)-/g;

/** Resolves when every feed has got its head, a second later for the dust to settle. Throws when one is refused. */
export async function openFeeds(load: FeedLoad): Promise<Feeds> {
  const sockets: net.Socket[] = [];
  const delays: number[] = [];
  const take = (text: string): void => {
    const now = performance.now();
    for (const match of text.matchAll(STAMP)) delays.push(now - Number(match[1]));
  };
  for (let opened = 0; opened < load.count; opened += OPENING) {
    const batch = Math.min(OPENING, load.count - opened);
    sockets.push(...(await Promise.all(Array.from({ length: batch }, () => openFeed(load, take)))));
  }
  await pause(1000);
  let stamps = 0;
  return {
    stamp() {
      stamps += 1;
      return `at-${performance.now().toFixed(3)}-${String(stamps)}-${String(process.pid)}`;
    },
    delays: () => delays,
    async settled(changes, withinMs) {
      const deadline = performance.now() + withinMs;
      while (delays.length < changes * load.count && performance.now() < deadline) await pause(100);
    },
    close() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function openFeed({ url, authorization, path }: FeedLoad, take: (text: string) => void): Promise<net.Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
    let rest = '';
    socket.setEncoding('latin1');
    socket.once('error', reject);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: ${authorization}\r\n\r\n`);
    socket.once('data', (head: string) => {
      if (!head.startsWith('HTTP/1.1 200')) reject(new Error(`feed: ${head.slice(0, 12)}`));
      resolve(socket);
      socket.on('data', (text: string) => {
        // A row that came in two pieces is read when its second piece is there.
        const all = rest + text;
        const end = all.lastIndexOf('\n') + 1;
        rest = all.slice(end);
        if (end > 0) take(all.slice(0, end));
      });
    });
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
