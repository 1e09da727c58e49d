// An embedded node as a process of its own, for tests that kill it: tells its address on standard output.
import { startEmbeddedNode } from '../../src/embedded/index.ts';
import { KEYS, OWNER } from './client.ts';

const node = await startEmbeddedNode({ folder: process.argv[2], owner: OWNER, jwtKeys: KEYS });
console.log(node.url);
