// `npm run compare`: runs the steps against the embedded node, or a real CouchDB, and prints what differs from the recorded answers.
// COMPARE_URL, COMPARE_OWNER, COMPARE_PASSWORD, COMPARE_JWT_KID, COMPARE_JWT_SECRET (base64) name a CouchDB; with COUCHDB_HOME one is started;
// otherwise it is the embedded node. `--record` writes the answers down in place of comparing them.
import { startBackend } from '../support/backend.ts';
import { compare, type Difference } from './compare.ts';
import { readRecorded, writeRecorded } from './recorded.ts';
import { runSteps, type Recorded, type Server } from './run.ts';

async function main(): Promise<void> {
  const url = process.env['COMPARE_URL'];
  const answers = url === undefined ? await onBackend() : await runSteps(named(url));
  if (process.argv.includes('--record')) {
    writeRecorded(answers);
    console.log(`${answers.length} answers recorded`);
    return;
  }
  const { total, equal, otherStatus, otherShape } = compare(readRecorded(), answers);
  print(`other status: ${otherStatus.length}`, otherStatus);
  print(`same status, other shape: ${otherShape.length}`, otherShape);
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

function named(url: string): Server {
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
