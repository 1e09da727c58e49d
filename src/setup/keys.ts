// The keys that CouchDB accepts Couchgate's tokens with: the one in use, a second one for a change-over, and others that nobody should hold.
import { createHmac, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fieldsOf, openBearer, type Admin } from './admin.ts';
import { removeSetting, writeSecret, type Report, type SetupNode } from './node.ts';
import { type NodeConfig } from './rules.ts';

export interface SigningKey {
  readonly kid: string;
  /** Base64, as CouchDB and Couchgate's settings hold it. */
  readonly secret: string;
}

const SECRET_BYTES = 32;
const TOKEN_SECONDS = 60;
const PATIENCE_MS = 3000;
const POLL_MS = 50;

/** The key of the settings, or else the one in the data folder (`file`), made now where there is none; a dry run makes none that stays. */
export async function keyInUse(
  settings: { readonly jwtKid: string; readonly jwtSecret: string; readonly data: string },
  dryRun: boolean,
): Promise<{ readonly key: SigningKey; readonly file: string | undefined }> {
  const { jwtKid: kid, jwtSecret, data } = settings;
  if (jwtSecret !== '') return { key: { kid, secret: jwtSecret }, file: undefined };
  const { secret, file } = await keepSecret(data, 'jwt_secret', dryRun);
  return { key: { kid, secret }, file };
}

/** A new key beside the one in use, its secret in the data folder. The name tells the day, and goes on counting within it. */
export async function newKey(
  taken: readonly string[],
  data: string,
  now: Date,
): Promise<{ readonly key: SigningKey; readonly file: string }> {
  const day = `couchgate-${now.toISOString().slice(0, 10)}`;
  let kid = day;
  for (let number = 2; taken.includes(kid); number += 1) kid = `${day}-${number}`;
  const { secret, file } = await keepSecret(data, `jwt_secret.${kid}`, false);
  return { key: { kid, secret }, file };
}

async function keepSecret(
  data: string,
  name: string,
  dryRun: boolean,
): Promise<{ readonly secret: string; readonly file: string }> {
  const file = join(data, name);
  const there = await readFile(file, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (there !== undefined) return { secret: there.trim(), file };
  const secret = randomBytes(SECRET_BYTES).toString('base64');
  if (dryRun) return { secret, file };
  await mkdir(data, { recursive: true, mode: 0o700 });
  // `wx`: a secret that is there is in use somewhere and is never written over.
  await writeFile(file, `${secret}\n`, { mode: 0o600, flag: 'wx' });
  return { secret, file };
}

/** Names of all HMAC keys of a node. */
export function kidsOf(config: NodeConfig): readonly string[] {
  return Object.keys(config['jwt_keys'] ?? {})
    .filter((key) => key.startsWith('hmac:'))
    .map((key) => key.slice('hmac:'.length));
}

/** True when the node accepts a key of this name with another secret. */
export function hasAnother(config: NodeConfig, { kid, secret }: SigningKey): boolean {
  const present = config['jwt_keys']?.[`hmac:${kid}`];
  return present !== undefined && present !== secret;
}

/** Gives the node these keys, and names every other one it accepts. Returns whether something was, or would be, changed. */
export async function settleKeys(
  node: SetupNode,
  config: NodeConfig,
  keys: readonly SigningKey[],
  { dryRun, report }: { readonly dryRun: boolean; readonly report: Report },
): Promise<boolean> {
  const present = config['jwt_keys'] ?? {};
  let changed = false;
  for (const key of keys) {
    const { kid, secret } = key;
    const setting = `hmac:${kid}`;
    if (present[setting] === secret) {
      report.line(`  fine    [jwt_keys] ${setting}`);
      continue;
    }
    changed = true;
    const isAnother = hasAnother(config, key);
    if (dryRun && isAnother)
      report.line(`  LOOK    [jwt_keys] ${setting} has another secret: see --replace-key`);
    else
      report.line(
        `  ${dryRun ? 'would be ' : ''}${isAnother ? 'replaced' : 'set'} [jwt_keys] ${setting} = (secret)`,
      );
    if (!dryRun) await writeSecret(node, 'jwt_keys', setting, secret);
  }
  const ours = new Set(keys.map(({ kid }) => `hmac:${kid}`));
  for (const setting of Object.keys(present).filter((each) => !ours.has(each))) {
    report.line(
      `  LOOK    [jwt_keys] ${setting} is accepted too: whoever holds it is a server admin. ` +
        `Remove it with --retire ${setting.replace(/^hmac:/u, '')} when it is not in use`,
    );
  }
  return changed;
}

export async function retireKey(node: SetupNode, kid: string): Promise<void> {
  await removeSetting(node, 'jwt_keys', kid.includes(':') ? kid : `hmac:${kid}`);
}

/** True when the node takes a token of this key for exactly what it says. A wrong one is an error of CouchDB's, never silence. */
export async function acceptsTokens(admin: Admin, key: SigningKey, now: number): Promise<boolean> {
  const name = 'couchgate-setup';
  const roles = ['couchgate-setup-check'];
  const session = await openBearer(admin, token(key, { name, roles }, now)).ask('GET', '/_session');
  const userCtx = fieldsOf(fieldsOf(session.body)['userCtx']);
  return session.status === 200 && JSON.stringify(userCtx) === JSON.stringify({ name, roles });
}

/**
 * As acceptsTokens, with some patience: for a tenth of a second after its start CouchDB answers, `/_up` too, before its key store does, and
 * calls every token a fault of its own (500 badarg).
 */
export async function comesToAcceptTokens(
  admin: Admin,
  key: SigningKey,
  now: () => number,
): Promise<boolean> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    if (await acceptsTokens(admin, key, now())) return true;
    if (performance.now() > end) return false;
    await wait(POLL_MS);
  }
}

function token(
  key: SigningKey,
  claims: { readonly name: string; readonly roles: readonly string[] },
  now: number,
): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const exp = Math.floor(now / 1000) + TOKEN_SECONDS;
  const head = encode({ alg: 'HS256', typ: 'JWT', kid: key.kid });
  const signed = `${head}.${encode({ sub: claims.name, '_couchdb.roles': claims.roles, exp })}`;
  const signature = createHmac('sha256', Buffer.from(key.secret, 'base64'))
    .update(signed)
    .digest('base64url');
  return `${signed}.${signature}`;
}
