// usage: tsx bench.ts front|bare|upstream <port>
import http from 'node:http';
import { createRequire } from 'node:module';
const [,, kind, arg] = process.argv;
if (kind === 'upstream') {
  const body = JSON.stringify({ _id: 'x', _rev: '1-abc', a: 'b'.repeat(500) });
  http.createServer({keepAliveTimeout: 0}, (req, res) => { req.resume(); res.writeHead(200, { 'Cache-Control': 'must-revalidate', 'Content-Length': Buffer.byteLength(body), 'Content-Type': 'application/json', ETag: '"1-abc"', Server: 'CouchDB/3.5.0', 'X-Couch-Request-ID': 'abc', 'X-CouchDB-Body-Time': '0' }); res.end(body); }).listen(Number(arg), '127.0.0.1');
} else if (kind === 'bare') {
  const { default: httpProxy } = await import('http-proxy');
  const proxy = httpProxy.createProxyServer({ target: 'http://127.0.0.1:' + arg, agent: new http.Agent({ keepAlive: true, maxSockets: 256 }) });
  http.createServer((req, res) => proxy.web(req, res)).listen(Number(process.argv[4]), '127.0.0.1');
} else {
  const { startForwarding } = await import('/work/wt/forward/test/support/forwarding.ts');
  const f = await startForwarding({ upstreams: [{ url: 'http://127.0.0.1:' + arg }], nodes: { connections: 256, kept: 256 }, before: (q: any, r: any) => { r.setHeader('X-Content-Type-Options','nosniff'); r.setHeader('X-Couch-Request-ID','abc') } });
  console.log(f.port);
  // forget contexts
  setInterval(() => ((f.contexts as any).length = 0), 500);
}
