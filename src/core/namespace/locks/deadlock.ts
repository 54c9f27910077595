import { LOCK_DEADLOCK_WALK_MAX } from '../../../base/limits.ts';
import { lockWaiterKey } from '../keys.ts';
import { LOCK_WAITER } from '../rows.ts';
import type { Rows } from '../types.ts';
import { InodeLocks } from './inode-locks.ts';
import type { Lock } from './ranges.ts';

/**
 * Whether `wanted`, which `blockers` keep from being granted, would wait for itself: fcntl(2)'s EDEADLK, over all files and
 * mounts. Like Linux it takes an owner for one thread, and gives up after a number of steps.
 */
export function wouldDeadlock(rows: Rows, wanted: Lock, blockers: readonly Lock[]): boolean {
  const seen = new Set<string>();
  const open: Lock[] = [];
  const visit = (lock: Lock): void => {
    const id = `${lock.session}/${lock.owner}`;
    if (seen.has(id)) return;
    seen.add(id);
    open.push(lock);
  };
  for (const blocker of blockers) visit(blocker);
  for (let steps = 0; steps < LOCK_DEADLOCK_WALK_MAX; steps++) {
    const { session, owner } = open.shift() ?? {};
    if (session === undefined || owner === undefined) return false;
    if (session === wanted.session && owner === wanted.owner) return true;
    for (const ino of rows.read(lockWaiterKey(session, owner), LOCK_WAITER)?.inos ?? []) {
      const locks = new InodeLocks(rows, ino);
      for (const waiter of locks.waiting) {
        if (waiter.flock || waiter.session !== session || waiter.owner !== owner) continue;
        for (const blocker of locks.blockers(waiter)) visit(blocker);
      }
    }
  }
  return false;
}
