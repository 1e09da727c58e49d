// What the recorder sends: bytes with a name that does not change from one version of Couchgate to the next.

export interface FenceRequest {
  readonly name: string;
  readonly bytes: Buffer;
}

export interface Parts {
  readonly line: string;
  /** `Name: value` */
  readonly headers: readonly string[];
  readonly body?: Buffer;
}

/** One request that ends its connection; a body without a framing of its own gets its length. */
export function bytesOf({ line, headers, body }: Parts): Buffer {
  const isFramed = headers.some((header) => /^(?:content-length|transfer-encoding):/i.test(header));
  const head = [
    `${line} HTTP/1.1`,
    'Host: couchgate.example',
    'Connection: close',
    ...headers,
    ...(body === undefined || isFramed ? [] : [`Content-Length: ${body.length}`]),
  ];
  const text = Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1');
  return body === undefined ? text : Buffer.concat([text, body]);
}
