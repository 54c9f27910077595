import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SESSION_TTL_MS } from '../../../src/base/limits.ts';
import { LOCK_END_MAX, rangeMessage } from '../../../src/core/namespace/locks/ranges.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../../../src/core/namespace/ops/lock.ts';
import type { LockGranted } from '../../../src/gen/ringfs/v1/meta.ts';
import { LockOutcome, type Op, type SetLock } from '../../../src/gen/ringfs/v1/namespace.ts';
import { leaderFixture, MetaServerFixture, turn } from '../../support/meta-server-fixture.ts';
import { mkfile } from '../../support/namespace-ops.ts';
import { inoOf, type StubMetaClient } from '../../support/stub-meta-client.ts';

const ROOT = 1;

function message(ino: number, type: number, ticket = 0): SetLock {
  return { ino, flock: false, owner: 1, range: rangeMessage(0n, LOCK_END_MAX), type, pid: 42, ticket };
}

const op = (value: SetLock): Op => ({ body: { $case: 'setLock', value } });

async function lock(client: StubMetaClient, value: SetLock): Promise<LockOutcome | undefined> {
  const result = await client.commit([op(value)]);
  return result.body?.$case === 'ok' ? result.body.value.results[0]?.lock : undefined;
}

function granted(client: StubMetaClient): LockGranted[] {
  return client.log.flatMap(({ body, push }) => (push && body.$case === 'lockGranted' ? [body.value] : []));
}

async function locked() {
  const fixture = await leaderFixture();
  const [a, b] = [await fixture.client(), await fixture.client()];
  const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
  assert.equal(await lock(a, message(ino, F_WRLCK)), LockOutcome.GRANTED);
  assert.equal(await lock(b, message(ino, F_WRLCK, 7)), LockOutcome.WAITING);
  return { fixture, a, b, ino };
}

describe('locks at the leader', () => {
  it('a waiter is told on its stream when the holder unlocks', async () => {
    const { a, b, ino } = await locked();
    assert.deepEqual(granted(b), []);
    await lock(a, message(ino, F_UNLCK));
    assert.deepEqual(granted(b), [{ ino, ticket: 7 }]);
    assert.deepEqual(granted(a), []);
  });

  it('say who holds what, and who waits', async () => {
    const { a, b, ino } = await locked();
    const probe = (client: StubMetaClient) =>
      client.ask({ $case: 'getLock', value: { wanted: { ...message(ino, F_RDLCK), owner: 9 } } }, 'getLock');
    assert.deepEqual(await probe(b), {
      held: { ...message(ino, F_WRLCK), owner: 0 },
      ownSession: false,
    });
    assert.equal((await probe(a)).ownSession, true);
    const wait = { $case: 'lockWait', value: { ino, ticket: 7 } } as const;
    assert.equal((await b.ask(wait, 'lockWait')).waiting, true);
    assert.equal((await a.ask(wait, 'lockWait')).waiting, false, "another session's ticket");
    await lock(a, message(ino, F_UNLCK));
    assert.equal((await b.ask(wait, 'lockWait')).waiting, false);
    assert.equal((await probe(b)).ownSession, true, 'it is granted by now');
    await lock(b, message(ino, F_UNLCK));
    assert.equal((await probe(b)).held, undefined);
    const nothing = await b.call({ $case: 'getLock', value: { wanted: undefined } });
    assert.equal(nothing.$case, 'error');
  });

  it('go to the next when the session says goodbye', async () => {
    const { a, b, ino } = await locked();
    await a.ask({ $case: 'goodbye', value: {} }, 'goodbye');
    assert.deepEqual(granted(b), [{ ino, ticket: 7 }]);
  });

  it('go to the next when the session was not heard for too long', async () => {
    const { fixture, b, ino } = await locked();
    for (let ms = 0; ms <= SESSION_TTL_MS + 2000 && granted(b).length === 0; ms += 1000) {
      await fixture.timers.advance(1000);
      await b.ping();
      await turn();
    }
    assert.deepEqual(granted(b), [{ ino, ticket: 7 }]);
    assert.equal(fixture.server.stats().sessionsExpired, 1);
  });

  it('stay through a change of leader, with the line; a retry of the request is answered as before', async () => {
    const { fixture, a, b, ino } = await locked();
    const second = new MetaServerFixture(
      {},
      { id: 's2', timers: fixture.timers, machine: fixture.replica.machine },
    );
    fixture.replica.becomeFollower('s2');
    second.replica.becomeLeader();
    await turn();
    const [a2, b2] = [second.stub(), second.stub()];
    await a2.hello(a.session);
    await b2.hello(b.session);
    b2.sequence = b.sequence;
    a2.sequence = a.sequence;
    const again = await b2.commit([op(message(ino, F_WRLCK, 7))], { sequence: b.sequence });
    assert.equal(
      again.body?.$case === 'ok' && again.body.value.results[0]?.lock,
      LockOutcome.WAITING,
      'the retry',
    );
    assert.equal((await b2.ask({ $case: 'lockWait', value: { ino, ticket: 7 } }, 'lockWait')).waiting, true);
    await lock(a2, message(ino, F_UNLCK));
    assert.deepEqual(granted(b2), [{ ino, ticket: 7 }], 'granted once, to the stream that there is');
  });
});
