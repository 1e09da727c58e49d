// `npm run compare`: runs the steps against one server and prints the differences from the recorded answers.
// The server is the CouchDB at COMPARE_URL, with COMPARE_OWNER, COMPARE_PASSWORD, COMPARE_JWT_KID and
// COMPARE_JWT_SECRET (base64). Without COMPARE_URL, COUCHDB_HOME starts a CouchDB; without both, the embedded
// node runs. `--record` stores the answers instead of comparing them.
import { startBackend } from '../support/backend.ts';
import { compare, type Difference } from './compare.ts';
import { readRecorded, writeRecorded } from './recorded.ts';
import { runSteps, type Recorded, type Server } from './run.ts';

async function main(): Promise<void> {
  const url = process.env['COMPARE_URL'];
  const answers = url === undefined ? await onBackend() : await runSteps(serverFromEnvironment(url));
  if (process.argv.includes('--record')) {
    writeRecorded(answers);
    console.log(`${answers.length} answers recorded`);
    return;
  }
  const { total, equal, otherStatus, otherShape } = compare(readRecorded(), answers);
  print(`other status: ${otherStatus.length}`, otherStatus);
  print(`same status, other content: ${otherShape.length}`, otherShape);
  console.log(`\n${equal} of ${total} answers equal those of CouchDB 3.5.0`);
}

async function onBackend(): Promise<readonly Recorded[]> {
  const backend = await startBackend();
  try {
    const { owner, kid, jwtSecretBase64, urls } = backend;
    return await runSteps({ url: urls[0] ?? '', owner, kid, jwtSecretBase64 });
  } finally {
    await backend.close();
  }
}

function serverFromEnvironment(url: string): Server {
  const setting = (name: string) => {
    const value = process.env[name];
    if (value === undefined) throw new Error(`${name} is not set`);
    return value;
  };
  return {
    url,
    owner: { name: setting('COMPARE_OWNER'), password: setting('COMPARE_PASSWORD') },
    kid: setting('COMPARE_JWT_KID'),
    jwtSecretBase64: setting('COMPARE_JWT_SECRET'),
  };
}

function print(title: string, differences: readonly Difference[]): void {
  console.log(`\n--- ${title}`);
  for (const { name, expected, actual } of differences)
    console.log(`${name}\n  CouchDB: ${expected.slice(0, 400)}\n  here:    ${actual.slice(0, 400)}`);
}

await main();
