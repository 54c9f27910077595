import { defined } from '../../../base/assert.ts';
import type { LockEntry, LockRow } from '../../../gen/ringfs/v1/rows.ts';
import { lockKey, lockWaiterKey } from '../keys.ts';
import { LOCK, LOCK_WAITER } from '../rows.ts';
import type { LockGrant, Rows } from '../types.ts';
import {
  conflicts,
  type Lock,
  type LockHolder,
  rangeMessage,
  rangeOf,
  withLock,
  withoutRange,
} from './ranges.ts';

/** The locks of one inode and who waits for them, taken out of its row. `store` puts them back. */
export class InodeLocks {
  readonly #rows: Rows;
  readonly ino: number;
  held: readonly Lock[];
  /** First come first. */
  waiting: readonly Lock[];

  constructor(rows: Rows, ino: number) {
    this.#rows = rows;
    this.ino = ino;
    const row = rows.read(lockKey(ino), LOCK);
    this.held = row === undefined ? [] : row.held.map(lockOf);
    this.waiting = row === undefined ? [] : row.waiting.map(lockOf);
  }

  store(index: number): void {
    if (this.held.length === 0 && this.waiting.length === 0) this.#rows.del(lockKey(this.ino));
    else {
      const row: LockRow = {
        held: this.held.map(entryOf),
        waiting: this.waiting.map(entryOf),
        version: index,
      };
      this.#rows.write(lockKey(this.ino), LOCK, row);
    }
  }

  concerns(session: number): boolean {
    const ofSession = (lock: Lock): boolean => lock.session === session;
    return this.held.some(ofSession) || this.waiting.some(ofSession);
  }

  blockers(wanted: Lock): Lock[] {
    return this.held.filter((lock) => conflicts(lock, wanted));
  }

  hold(lock: Lock): void {
    this.held = withLock(this.held, lock);
  }

  release(range: LockHolder & Pick<Lock, 'first' | 'last'>): void {
    this.held = withoutRange(this.held, range);
  }

  /** Record locks are entered where the search for deadlocks finds them; between flock(2) there is none (as in Linux). */
  wait(lock: Lock): void {
    this.waiting = [...this.waiting, lock];
    if (lock.flock) return;
    const key = lockWaiterKey(lock.session, lock.owner);
    const inos = this.#rows.read(key, LOCK_WAITER)?.inos ?? [];
    if (!inos.includes(this.ino)) this.#rows.write(key, LOCK_WAITER, { inos: [...inos, this.ino] });
  }

  /** Takes `gone` out of the line. */
  leave(gone: ReadonlySet<Lock>): void {
    if (gone.size === 0) return;
    this.waiting = this.waiting.filter((lock) => !gone.has(lock));
    for (const lock of gone) {
      if (lock.flock || this.waiting.some((other) => !other.flock && isOwner(other, lock))) continue;
      const key = lockWaiterKey(lock.session, lock.owner);
      const inos = (this.#rows.read(key, LOCK_WAITER)?.inos ?? []).filter((ino) => ino !== this.ino);
      if (inos.length === 0) this.#rows.del(key);
      else this.#rows.write(key, LOCK_WAITER, { inos });
    }
  }

  /**
   * Something was released or weakened: those who waited longest get what is free now. Who wants what is still held does not
   * keep those behind from what they want: two threads of an owner could wait for each other otherwise.
   */
  grant(grants: LockGrant[]): void {
    for (let again = true; again; ) {
      again = false;
      const granted = new Set<Lock>();
      for (const lock of this.waiting) {
        if (this.blockers(lock).length > 0) continue;
        // A shared lock over an exclusive one of the same owner frees it for those before.
        again ||= !lock.exclusive && this.held.some((own) => own.exclusive && isOwner(own, lock));
        this.hold(lock);
        granted.add(lock);
        grants.push({ session: lock.session, ino: this.ino, ticket: lock.ticket });
      }
      this.leave(granted);
    }
  }
}

function isOwner(a: LockHolder, b: LockHolder): boolean {
  return a.session === b.session && a.owner === b.owner;
}

export function lockOf(entry: LockEntry): Lock {
  const { session, owner, flock, exclusive, pid, ticket } = entry;
  return {
    session,
    owner,
    flock,
    exclusive,
    pid,
    ticket,
    ...defined(rangeOf(entry.range), 'a range in a row'),
  };
}

function entryOf({ first, last, ...rest }: Lock): LockEntry {
  return { ...rest, range: rangeMessage(first, last) };
}
