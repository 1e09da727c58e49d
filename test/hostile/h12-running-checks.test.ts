// H12: a password check that started before an invalidation must not decide for requests after it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CredentialCache } from '../../src/identity/credential-cache.ts';
import { createCredentialCheck } from '../../src/identity/credential-check.ts';
import { type KeyVerdict } from '../../src/identity/api-key.ts';
import { createAttemptLimit } from '../../src/limits/attempt-limit.ts';
import { type BusMessage, wrongPasswordChannel } from '../../src/invalidation/bus.ts';
import { localBus } from '../support/local-bus.ts';

const BASIC = Buffer.from('key:secret').toString('base64');

/** A check whose look-ups of a key the test answers itself, in their order. */
function startCheck() {
  const lookUps: ((verdict: KeyVerdict) => void)[] = [];
  const listeners: ((invalidation: BusMessage) => void)[] = [];
  const check = createCredentialCheck({
    cache: new CredentialCache({ onMessage: (listener) => void listeners.push(listener) }),
    keys: {
      verify: () => new Promise((resolve) => lookUps.push(resolve)),
      holds: () => true,
      recall: () => undefined,
    },
    users: {
      check: () => Promise.resolve({ outcome: 'wrong' }),
      refuse: () => Promise.resolve({ outcome: 'wrong' }),
      isOwnerName: () => Promise.resolve(false),
      recall: () => false,
    },
    versions: { confirm: () => Promise.resolve(undefined) },
    limit: createAttemptLimit(
      {
        attempts: 5,
        attemptsPerAddress: 100,
        windowSeconds: 300,
      },
      wrongPasswordChannel(localBus()),
    ),
    bus: { upUntil: Infinity },
    credentialCacheSeconds: 60,
    fallbackCacheSeconds: 2,
    outageCacheSeconds: 60,
    refusalQuantumMs: 0,
  });
  const lookUpBegun = async (count: number): Promise<void> => {
    for (let turns = 0; lookUps.length < count; turns += 1) {
      assert.ok(turns < 1000, 'no look-up has begun');
      await new Promise(setImmediate);
    }
  };
  const deliver = (invalidation: BusMessage): void => listeners.forEach((listener) => listener(invalidation));
  return { check, lookUps, lookUpBegun, deliver };
}

describe('H12: checks under way', () => {
  it('are not joined after an invalidation of the name – a revoked key – refused, though the older check said yes', async () => {
    const { check, lookUps, lookUpBegun, deliver } = startCheck();
    const before = check.check(BASIC, '192.0.2.1');
    await lookUpBegun(1);
    deliver({ kind: 'key', name: 'key' });
    const after = check.check(BASIC, '192.0.2.1');
    lookUps[0]?.({ outcome: 'accepted', version: 'old', until: Infinity });
    assert.equal((await before).outcome, 'accepted');
    await lookUpBegun(2);
    lookUps[1]?.({ outcome: 'wrong' });
    assert.equal((await after).outcome, 'refused');
  });

  it('are joined while nothing has changed – many requests at once – one look-up', async () => {
    const { check, lookUps, lookUpBegun } = startCheck();
    const answers = Array.from({ length: 20 }, async () => check.check(BASIC, '192.0.2.1'));
    await lookUpBegun(1);
    lookUps[0]?.({ outcome: 'accepted', version: 'v', until: Infinity });
    assert.equal(
      (await Promise.all(answers)).every(({ outcome }) => outcome === 'accepted'),
      true,
    );
    assert.equal(lookUps.length, 1);
  });
});
