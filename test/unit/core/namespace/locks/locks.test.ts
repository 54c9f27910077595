import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LOCK_WAITERS_PER_INODE_MAX } from '../../../../../src/base/limits.ts';
import { LOCK_END_MAX, rangeMessage } from '../../../../../src/core/namespace/locks/ranges.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../../../../../src/core/namespace/ops/lock.ts';
import { conflictingLock, lockWaits } from '../../../../../src/core/namespace/read.ts';
import type { ApplyOutcome, LockGrant } from '../../../../../src/core/namespace/types.ts';
import { LockOutcome, type SetLock } from '../../../../../src/gen/ringfs/v1/namespace.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import { mkfile } from '../../../../support/namespace-ops.ts';

const { GRANTED, WAITING, REFUSED, DEADLOCK, CANCELLED } = LockOutcome;

/** A cluster with a few files and sessions that lock them. */
class LockFixture extends NamespaceFixture {
  readonly inos: number[] = [];
  readonly #sequences = new Map<number, number>();
  #nonces = 1;
  grants: readonly LockGrant[] = [];

  constructor() {
    super({ prefetch: false });
    for (let i = 0; i < 3; i++) this.inos.push(this.ino(mkfile(1, `f${i}`)));
  }

  open(): number {
    const nonce = new Uint8Array(16).fill(++this.#nonces);
    const value = { nonce, client: 'c', time: { sec: 1, nsec: 0 } };
    return this.machine.apply({ body: { $case: 'openSession', value } }).value;
  }

  #op(
    session: number,
    body: NonNullable<Parameters<NamespaceFixture['commit']>[0][0]['body']>,
  ): ApplyOutcome {
    const sequence = (this.#sequences.get(session) ?? 0) + 1;
    this.#sequences.set(session, sequence);
    const outcome = this.commit([{ body }], { session, sequence, ackedBelow: sequence });
    this.grants = outcome.grants ?? [];
    return outcome;
  }

  set(session: number, type: number, options: Partial<SetLock> = {}): LockOutcome | undefined {
    const value: SetLock = {
      ino: this.inos[0]!,
      flock: false,
      owner: 1,
      range: rangeMessage(0n, LOCK_END_MAX),
      type,
      pid: 100 + session,
      ticket: 0,
      ...options,
    };
    const { body } = this.#op(session, { $case: 'setLock', value }).result;
    if (body?.$case !== 'ok') assert.fail(`refused: ${JSON.stringify(body)}`);
    assert.deepEqual(body.value.touched, []);
    return body.value.results[0]?.lock;
  }

  cancel(session: number, ticket: number): LockOutcome | undefined {
    const value = { ino: this.inos[0]!, ticket };
    const { body } = this.#op(session, { $case: 'cancelLock', value }).result;
    return body?.$case === 'ok' ? body.value.results[0]?.lock : undefined;
  }

  expire(...sessions: number[]): void {
    const outcome = this.machine.apply({ body: { $case: 'expireSessions', value: { sessions } } });
    this.grants = outcome.grants ?? [];
  }

  tickets(): number[] {
    return this.grants.map(({ ticket }) => ticket);
  }

  lockRows(): number {
    return this.machine.store.scanSync({ gte: Uint8Array.of(0x60), lt: Uint8Array.of(0x70) }).length;
  }
}

const bytes = (first: bigint, last: bigint): Pick<SetLock, 'range'> => ({ range: rangeMessage(first, last) });

describe('locks in the state machine', () => {
  it('exclude other sessions and owners, share with readers, and leave no rows', () => {
    const f = new LockFixture();
    const [a, b] = [f.open(), f.open()];
    assert.equal(f.set(a, F_WRLCK), GRANTED);
    assert.equal(f.set(b, F_RDLCK), REFUSED);
    assert.equal(f.set(a, F_RDLCK, { owner: 2 }), REFUSED);
    assert.equal(f.set(a, F_RDLCK), GRANTED, 'a downgrade');
    assert.equal(f.set(b, F_RDLCK), GRANTED);
    assert.equal(f.set(a, F_WRLCK), REFUSED, 'an upgrade beside another reader');
    assert.equal(f.set(b, F_UNLCK), GRANTED);
    assert.equal(f.set(a, F_WRLCK), GRANTED);
    assert.equal(f.set(b, F_WRLCK, { flock: true }), GRANTED, 'flock and fcntl do not see each other');
    assert.equal(f.set(b, F_UNLCK, { flock: true }), GRANTED);
    assert.equal(f.set(a, F_UNLCK), GRANTED);
    assert.equal(f.lockRows(), 0);
  });

  it('are by range, and tell who is in the way', async () => {
    const f = new LockFixture();
    const [a, b] = [f.open(), f.open()];
    assert.equal(f.set(a, F_WRLCK, bytes(10n, 19n)), GRANTED);
    assert.equal(f.set(a, F_UNLCK, bytes(13n, 14n)), GRANTED);
    assert.equal(f.set(b, F_WRLCK, bytes(13n, 14n)), GRANTED);
    assert.equal(f.set(b, F_WRLCK, bytes(14n, 15n)), REFUSED);
    const probe: SetLock = {
      ino: f.inos[0]!,
      flock: false,
      owner: 1,
      type: F_RDLCK,
      pid: 0,
      ticket: 0,
      ...bytes(0n, LOCK_END_MAX),
    };
    const first = await conflictingLock(f.machine.store, b, probe);
    assert.deepEqual(
      [first?.session, first?.pid, first?.exclusive, first?.first, first?.last],
      [a, 100 + a, true, 10n, 12n],
    );
    const own = await conflictingLock(f.machine.store, a, probe);
    assert.deepEqual([own?.session, own?.first, own?.last], [b, 13n, 14n]);
    assert.equal(await conflictingLock(f.machine.store, a, { ...probe, ...bytes(0n, 12n) }), undefined);
  });

  it('are handed over first come, first served', async () => {
    const f = new LockFixture();
    const [a, b, c] = [f.open(), f.open(), f.open()];
    assert.equal(f.set(a, F_WRLCK), GRANTED);
    assert.equal(f.set(b, F_WRLCK, { ticket: 5 }), WAITING);
    assert.equal(f.set(c, F_WRLCK, { ticket: 6 }), WAITING);
    assert.equal(await lockWaits(f.machine.store, b, f.inos[0]!, 5), true);
    f.set(a, F_UNLCK);
    assert.deepEqual(f.grants, [{ session: b, ino: f.inos[0], ticket: 5 }]);
    assert.equal(await lockWaits(f.machine.store, b, f.inos[0]!, 5), false);
    assert.equal(f.set(a, F_WRLCK), REFUSED, 'whoever comes now finds it taken');
    f.set(b, F_UNLCK);
    assert.deepEqual(f.tickets(), [6]);
  });

  it('let all waiting readers in at once, also when a writer becomes a reader', () => {
    const f = new LockFixture();
    const sessions = [f.open(), f.open(), f.open()] as const;
    const [a, b, c] = sessions;
    f.set(a, F_WRLCK);
    f.set(b, F_RDLCK, { ticket: 1 });
    f.set(c, F_RDLCK, { ticket: 2 });
    assert.equal(f.set(a, F_RDLCK), GRANTED);
    assert.deepEqual(f.tickets(), [1, 2]);
  });

  it('drop out of the line when cancelled, but not once granted', () => {
    const f = new LockFixture();
    const [a, b] = [f.open(), f.open()];
    f.set(a, F_WRLCK);
    assert.equal(f.set(b, F_WRLCK, { ticket: 1 }), WAITING);
    assert.equal(f.cancel(a, 1), GRANTED, "another session's ticket");
    assert.equal(f.cancel(b, 1), CANCELLED);
    f.set(a, F_UNLCK);
    assert.deepEqual(f.tickets(), []);
    f.set(a, F_WRLCK);
    f.set(b, F_WRLCK, { ticket: 2 });
    f.set(a, F_UNLCK);
    assert.equal(f.cancel(b, 2), GRANTED);
    f.set(b, F_UNLCK);
    assert.equal(f.lockRows(), 0);
  });

  it('go with the session, to those who wait', () => {
    const f = new LockFixture();
    const [a, b, c] = [f.open(), f.open(), f.open()];
    for (const ino of f.inos) assert.equal(f.set(a, F_WRLCK, { ino }), GRANTED);
    f.set(a, F_WRLCK, { flock: true, ino: f.inos[2]! });
    f.set(b, F_WRLCK, { ticket: 1 });
    f.set(c, F_RDLCK, { ticket: 2, flock: true, ino: f.inos[2]! });
    f.set(c, F_WRLCK, { ticket: 3 });
    f.expire(a);
    assert.deepEqual(f.tickets().sort(), [1, 2]);
    assert.equal(f.set(c, F_RDLCK, { ino: f.inos[1]! }), GRANTED);
    f.expire(b, c);
    assert.equal(f.lockRows(), 0);
  });

  it('find a deadlock over files and sessions, and not where there is none', () => {
    const f = new LockFixture();
    const [a, b, c] = [f.open(), f.open(), f.open()];
    const [x, y, z] = f.inos as [number, number, number];
    f.set(a, F_WRLCK, { ino: x });
    f.set(b, F_WRLCK, { ino: y });
    f.set(c, F_WRLCK, { ino: z });
    assert.equal(f.set(a, F_WRLCK, { ino: y, ticket: 1 }), WAITING);
    assert.equal(f.set(b, F_WRLCK, { ino: z, ticket: 1 }), WAITING);
    assert.equal(f.set(c, F_WRLCK, { ino: x, ticket: 1 }), DEADLOCK);
    assert.equal(f.set(c, F_WRLCK, { ino: x }), REFUSED, 'who does not wait is told the usual');
    f.set(c, F_UNLCK, { ino: z });
    assert.deepEqual(f.tickets(), [1]);
    assert.equal(f.set(c, F_WRLCK, { ino: x, ticket: 2 }), WAITING, 'the cycle is gone');
  });

  it('find the deadlock of two readers who both want to write', () => {
    const f = new LockFixture();
    const [a, b] = [f.open(), f.open()];
    f.set(a, F_RDLCK);
    f.set(b, F_RDLCK);
    assert.equal(f.set(a, F_WRLCK, { ticket: 1 }), WAITING);
    assert.equal(f.set(b, F_WRLCK, { ticket: 1 }), DEADLOCK);
    f.set(b, F_UNLCK);
    assert.deepEqual(f.tickets(), [1]);
  });

  it('convert flock by giving up the old lock first, as flock(2) says', () => {
    const f = new LockFixture();
    const [a, b] = [f.open(), f.open()];
    const flock = { flock: true };
    f.set(a, F_RDLCK, flock);
    f.set(b, F_RDLCK, flock);
    assert.equal(f.set(a, F_WRLCK, { ...flock, ticket: 1 }), WAITING);
    assert.equal(f.set(b, F_WRLCK, flock), REFUSED, 'who waited got in between');
    assert.deepEqual(f.tickets(), [1]);
    assert.equal(f.set(b, F_RDLCK, flock), REFUSED);
    f.set(a, F_RDLCK, flock);
    f.set(b, F_RDLCK, flock);
    assert.equal(f.set(a, F_WRLCK, flock), REFUSED);
    assert.equal(f.set(b, F_WRLCK, flock), GRANTED, 'a refused conversion has lost the lock too');
  });

  it('answer a retry from memory: a lock is taken once', () => {
    const f = new LockFixture();
    const a = f.open();
    const value: SetLock = {
      ino: f.inos[0]!,
      flock: false,
      owner: 1,
      type: F_WRLCK,
      pid: 1,
      ticket: 0,
      ...bytes(0n, 9n),
    };
    const send = (type: number, sequence: number): ApplyOutcome =>
      f.commit([{ body: { $case: 'setLock', value: { ...value, type } } }], {
        session: a,
        sequence,
        ackedBelow: 1,
      });
    const first = send(F_WRLCK, 1);
    send(F_UNLCK, 2);
    const again = send(F_WRLCK, 1);
    assert.equal(again.duplicate, true);
    assert.deepEqual(again.result, first.result);
    assert.equal(f.lockRows(), 0);
  });

  it('refuse nonsense, missing inodes and too long a line', () => {
    const f = new LockFixture();
    const [a, b] = [f.open(), f.open()];
    assert.throws(() => f.set(a, F_WRLCK, { ino: 999 }), /"errno":116/);
    assert.throws(() => f.set(a, 7), /"errno":22/);
    assert.throws(() => f.set(a, F_WRLCK, bytes(2n, 1n)), /"errno":22/);
    assert.throws(() => f.set(a, F_WRLCK, { range: undefined }), /"errno":22/);
    f.set(a, F_WRLCK);
    for (let ticket = 1; ticket <= LOCK_WAITERS_PER_INODE_MAX; ticket++) {
      assert.equal(f.set(b, F_WRLCK, { ticket, owner: ticket }), WAITING);
    }
    assert.throws(() => f.set(b, F_WRLCK, { ticket: 5000, owner: 5000 }), /"errno":37/);
    f.expire(a);
    assert.deepEqual(f.tickets(), [1]);
  });

  it('survive in the rows: another view of the same store knows them', async () => {
    const f = new LockFixture();
    const a = f.open();
    f.set(a, F_WRLCK, bytes(3n, 5n));
    f.machine.view.clear();
    assert.equal(f.set(f.open(), F_WRLCK, bytes(5n, 5n)), REFUSED);
  });
});
