// Uploads and downloads one large body on a raw connection at maximum speed.
import net from 'node:net';

export interface Transfer {
  readonly url: string;
  readonly authorization: string;
  readonly path: string;
  readonly bytes: number;
}

const CHUNK = new Uint8Array(64 * 1024).fill(99);

/**
 * Returns the seconds from the start of a PUT until its response. Throws if the status is not 201 or 202.
 */
export async function upload(transfer: Transfer): Promise<number> {
  const { bytes } = transfer;
  const startedAt = performance.now();
  const socket = open(
    transfer,
    'PUT',
    `Content-Type: application/octet-stream\r\nContent-Length: ${String(bytes)}\r\n`,
  );
  const answered = new Promise<string>((resolve, reject) => {
    socket.once('data', (head) => resolve(head.toString('latin1', 0, 12)));
    socket.once('error', reject);
  });
  let left = bytes;
  const pour = (): void => {
    while (left > 0) {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= chunk.length;
      if (!socket.write(chunk)) return void socket.once('drain', pour);
    }
  };
  pour();
  const status = await answered;
  socket.destroy();
  if (!/^HTTP\/1\.1 20[12]/.test(status)) throw new Error(`upload: ${status}`);
  return (performance.now() - startedAt) / 1000;
}

/** Returns the seconds of a GET. Throws if the body is shorter than `bytes`. */
export async function download(transfer: Transfer): Promise<number> {
  const startedAt = performance.now();
  const socket = open(transfer, 'GET', '');
  let taken = 0;
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk) => {
      taken += chunk.length;
      if (taken >= transfer.bytes) resolve();
    });
    socket.once('close', () => reject(new Error(`download ended after ${String(taken)} bytes`)));
    socket.once('error', reject);
  });
  socket.destroy();
  return (performance.now() - startedAt) / 1000;
}

function open({ url, authorization, path }: Transfer, method: string, headers: string): net.Socket {
  const { hostname, port } = new URL(url);
  const socket = net.connect(Number(port), hostname);
  socket.write(
    `${method} ${path} HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: ${authorization}\r\nConnection: close\r\n${headers}\r\n`,
  );
  return socket;
}
