// Runs an embedded node in its own process, for tests that kill it. Prints its URL to standard output.
import { startEmbeddedNode } from '../../src/embedded/index.ts';
import { KEYS, OWNER } from './client.ts';

const node = await startEmbeddedNode({ folder: process.argv[2], owner: OWNER, jwtKeys: KEYS });
console.log(node.url);
