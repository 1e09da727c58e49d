// Manages the keys in [jwt_keys] of CouchDB: the key in use, a second one for rotation, and unknown ones.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isWeakSecret, keepSecret, MIN_SECRET_BYTES, readSecret } from '../config/secret-file.ts';
import { createTokenSigner } from '../identity/token-signer.ts';
import { fieldsOf, openBearer, type Admin } from './admin.ts';
import { removeSetting, writeSecret, type Report, type SetupNode } from './node.ts';
import { type NodeConfig } from './rules.ts';

export interface SigningKey {
  readonly kid: string;
  /** Base64, as in CouchDB and in the settings of Couchgate. */
  readonly secret: string;
}

const SECRET_BYTES = 32;
const TOKEN_LIFETIME_SECONDS = 60;
const TOKEN_CHECK_TIMEOUT_MS = 3000;
const POLL_MS = 50;

/**
 * Returns the key of the settings, else the key in the data folder with its `file`; creates a missing one. A
 * dry run does not write the new key.
 */
export function keyInUse(
  settings: { readonly jwtKid: string; readonly jwtSecret: string; readonly data: string },
  dryRun: boolean,
): { readonly key: SigningKey; readonly file: string | undefined } {
  const { jwtKid: kid, jwtSecret, data } = settings;
  if (jwtSecret !== '') return { key: { kid, secret: jwtSecret }, file: undefined };
  const { secret, file } = keptKey(data, 'jwt_secret', dryRun);
  return { key: { kid, secret }, file };
}

/**
 * Creates a second key, with its secret in the data folder. Its name contains the date, and a number if
 * taken.
 */
export function newKey(
  taken: readonly string[],
  data: string,
  now: Date,
): { readonly key: SigningKey; readonly file: string } {
  const day = `couchgate-${now.toISOString().slice(0, 10)}`;
  let kid = day;
  for (let number = 2; taken.includes(kid); number += 1) kid = `${day}-${number}`;
  const { secret, file } = keptKey(data, `jwt_secret.${kid}`, false);
  return { key: { kid, secret }, file };
}

/** Throws an Error for a kept secret that is too weak: everybody could sign with an empty one (H40.1). */
function keptKey(
  data: string,
  name: string,
  dryRun: boolean,
): { readonly secret: string; readonly file: string } {
  const file = join(data, name);
  const make = (): string => randomBytes(SECRET_BYTES).toString('base64');
  const secret = dryRun ? (readSecret(file) ?? make()) : keepSecret(file, make).secret;
  if (isWeakSecret(secret))
    throw new Error(`${file} must contain at least ${MIN_SECRET_BYTES} random bytes in Base64`);
  return { secret, file };
}

/** Returns the names of all HMAC keys of a node. */
export function kidsOf(config: NodeConfig): readonly string[] {
  return Object.keys(config['jwt_keys'] ?? {})
    .filter((key) => key.startsWith('hmac:'))
    .map((key) => key.slice('hmac:'.length));
}

/** True if the node has a key of this name with a different secret. */
export function hasAnother(config: NodeConfig, { kid, secret }: SigningKey): boolean {
  const present = config['jwt_keys']?.[`hmac:${kid}`];
  return present !== undefined && present !== secret;
}

/**
 * Writes the missing keys to the node and reports every other key that it accepts. Returns true if a key was,
 * or in a dry run would be, changed.
 */
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
      report.line(`  ok      [jwt_keys] ${setting}`);
      continue;
    }
    changed = true;
    const isAnother = hasAnother(config, key);
    if (dryRun && isAnother)
      report.line(`  CHECK   [jwt_keys] ${setting} has a different secret: see --replace-key`);
    else
      report.line(
        `  ${dryRun ? 'would be ' : ''}${isAnother ? 'replaced' : 'set'} [jwt_keys] ${setting} = (secret)`,
      );
    if (!dryRun) await writeSecret(node, 'jwt_keys', setting, secret);
  }
  const ours = new Set(keys.map(({ kid }) => `hmac:${kid}`));
  for (const setting of Object.keys(present).filter((each) => !ours.has(each))) {
    report.line(
      `  CHECK   [jwt_keys] ${setting} is accepted too: its holder has full admin access. ` +
        `If it is not in use, remove it with --retire ${setting.replace(/^hmac:/u, '')}`,
    );
  }
  return changed;
}

/** Removes a key from the node; `kid` is the name, with or without an algorithm (`hmac:`) in front. */
export async function retireKey(node: SetupNode, kid: string): Promise<void> {
  await removeSetting(node, 'jwt_keys', kid.includes(':') ? kid : `hmac:${kid}`);
}

/**
 * True if the node accepts a token of this key with exactly its name and roles. CouchDB answers an invalid
 * token with an error.
 */
export async function acceptsTokens(
  admin: Admin,
  { kid, secret }: SigningKey,
  now: number,
): Promise<boolean> {
  const name = 'couchgate-setup';
  const roles = ['couchgate-setup-check'];
  const sign = createTokenSigner({
    secret: Buffer.from(secret, 'base64'),
    kid,
    lifetimeSeconds: TOKEN_LIFETIME_SECONDS,
  });
  const session = await openBearer(admin, sign(name, roles, now)).ask('GET', '/_session');
  const userCtx = fieldsOf(fieldsOf(session.body)['userCtx']);
  return session.status === 200 && JSON.stringify(userCtx) === JSON.stringify({ name, roles });
}

/**
 * Retries acceptsTokens until TOKEN_CHECK_TIMEOUT_MS. CouchDB answers requests, `/_up` too, about 100 ms
 * before its key store is ready. In that time it answers every token with 500 badarg.
 */
export async function comesToAcceptTokens(
  admin: Admin,
  key: SigningKey,
  now: () => number,
): Promise<boolean> {
  const end = performance.now() + TOKEN_CHECK_TIMEOUT_MS;
  for (;;) {
    if (await acceptsTokens(admin, key, now())) return true;
    if (performance.now() > end) return false;
    await wait(POLL_MS);
  }
}
