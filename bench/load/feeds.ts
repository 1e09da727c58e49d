// Opens many continuous feeds on raw connections and records the delay of each change.
import net from 'node:net';

export interface FeedLoad {
  readonly url: string;
  readonly authorization?: string;
  readonly path: string;
  readonly count: number;
}

export interface Feeds {
  /**
   * Milliseconds from the timestamp of a change to its arrival, for every change on every feed in the next
   * `seconds`.
   */
  readonly delays: (seconds: number) => Promise<number[]>;
  readonly close: () => void;
}

/** Maximum feeds that wait for their response head at once. */
const OPENING = 50;
/**
 * Timestamp in the ids of servers/trivial-upstream.ts: the monotonic clock of the machine in milliseconds.
 */
const STAMP = /"id":"at-(\d+\.\d+)"/g;

/**
 * Resolves one second after every feed has its response head, when the load of opening is over. Throws if a
 * feed is refused.
 */
export async function openFeeds(load: FeedLoad): Promise<Feeds> {
  const sockets: net.Socket[] = [];
  let delays: number[] = [];
  const take = (text: string): void => {
    const now = monotonicMs();
    for (const match of text.matchAll(STAMP)) delays.push(now - Number(match[1]));
  };
  for (let opened = 0; opened < load.count; opened += OPENING) {
    const batch = Math.min(OPENING, load.count - opened);
    sockets.push(...(await Promise.all(Array.from({ length: batch }, () => openFeed(load, take)))));
  }
  await pause(1000);
  return {
    async delays(seconds) {
      delays = [];
      await pause(seconds * 1000);
      return delays;
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
    socket.on('error', reject);
    const credentials = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`;
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n${credentials}\r\n`);
    socket.once('data', (head: string) => {
      if (!head.startsWith('HTTP/1.1 200')) reject(new Error(`feed: ${head.slice(0, 12)}`));
      resolve(socket);
      socket.on('data', (text: string) => {
        // An incomplete row is kept until its rest arrives.
        const all = rest + text;
        const end = all.lastIndexOf('\n') + 1;
        rest = all.slice(end);
        if (end > 0) take(all.slice(0, end));
      });
    });
  });
}

/** Returns milliseconds of a clock that all processes of the machine share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
