import {
  LOCK_LINES_PER_OWNER_MAX,
  LOCK_WAITERS_PER_INODE_MAX,
  LOCKS_PER_INODE_MAX,
} from '../../../base/limits.ts';
import {
  type CancelLock,
  LockOutcome,
  type OpResult,
  type SetLock,
} from '../../../gen/ringfs/v1/namespace.ts';
import { type CommitContext, fail } from '../context.ts';
import { lockWaiterKey } from '../keys.ts';
import { wouldDeadlock } from '../locks/deadlock.ts';
import { InodeLocks } from '../locks/inode-locks.ts';
import { type Lock, rangeOf, sameOwner } from '../locks/ranges.ts';
import { enterLockedInode, leaveLockedInode } from '../locks/session-locks.ts';
import { LOCK_WAITER } from '../rows.ts';

export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;

/**
 * fcntl(2) F_SETLK and F_SETLKW, flock(2). What cannot be granted is a result and not a refusal of the commit, since a
 * conversion by flock(2) gives up the old lock even when it does not get the new one.
 */
export function setLock(ctx: CommitContext, op: SetLock): OpResult {
  const wanted = lockWanted(op, ctx.session);
  const { ino } = op;
  if (op.type === F_UNLCK) {
    return change(ctx, ino, (locks) => {
      locks.release(wanted);
      locks.grant(ctx.grants);
      return LockOutcome.GRANTED;
    });
  }
  ctx.inode(ino); // there is nothing to lock in an inode that does not exist
  return change(ctx, ino, (locks) =>
    wanted.flock ? flock(ctx, locks, wanted) : acquire(ctx, locks, wanted),
  );
}

export function cancelLock(ctx: CommitContext, op: CancelLock): OpResult {
  return change(ctx, op.ino, (locks) => {
    const own = locks.waiting.filter((lock) => lock.session === ctx.session && lock.ticket === op.ticket);
    locks.leave(new Set(own));
    return own.length > 0 ? LockOutcome.CANCELLED : LockOutcome.GRANTED;
  });
}

/** The lock that a request is about. Throws EINVAL. */
export function lockWanted(op: SetLock, session: number): Lock {
  const range = rangeOf(op.range) ?? fail('EINVAL', 'the range of a lock');
  if (op.type > F_UNLCK) fail('EINVAL', 'the type of a lock');
  const { owner, flock: isFlock, pid, ticket } = op;
  return { session, owner, flock: isFlock, exclusive: op.type === F_WRLCK, ...range, pid, ticket };
}

/** Loads, changes and stores the locks of one inode. Throws ENOLCK. */
function change(ctx: CommitContext, ino: number, work: (locks: InodeLocks) => LockOutcome): OpResult {
  const { rows, session } = ctx;
  const locks = new InodeLocks(rows, ino);
  const { held, waiting } = locks;
  const concerned = locks.concerns(session);
  const lock = work(locks);
  if (locks.held !== held || locks.waiting !== waiting) {
    if (locks.held.length > Math.max(held.length, LOCKS_PER_INODE_MAX)) fail('ENOLCK', 'locks of the inode');
    const concerns = locks.concerns(session);
    if (concerns && !concerned && !enterLockedInode(rows, session, ino)) fail('ENOLCK', 'inodes locked');
    if (concerned && !concerns) leaveLockedInode(rows, session, ino);
    locks.store(ctx.index);
  }
  return { ino, offset: 0, lock };
}

/** flock(2): a conversion first gives up the old lock, and may lose it to somebody else. */
function flock(ctx: CommitContext, locks: InodeLocks, wanted: Lock): LockOutcome {
  const own = locks.held.find((lock) => sameOwner(lock, wanted));
  if (own?.exclusive === wanted.exclusive) return LockOutcome.GRANTED;
  if (own !== undefined) {
    locks.release(own);
    locks.grant(ctx.grants);
  }
  return acquire(ctx, locks, wanted);
}

function acquire(ctx: CommitContext, locks: InodeLocks, wanted: Lock): LockOutcome {
  const blockers = locks.blockers(wanted);
  if (blockers.length === 0) {
    locks.hold(wanted);
    // An exclusive lock that became a shared one lets others in.
    if (!wanted.exclusive) locks.grant(ctx.grants);
    return LockOutcome.GRANTED;
  }
  if (wanted.ticket === 0) return LockOutcome.REFUSED;
  if (!wanted.flock && wouldDeadlock(ctx.rows, wanted, blockers)) return LockOutcome.DEADLOCK;
  if (locks.waiting.length >= LOCK_WAITERS_PER_INODE_MAX) fail('ENOLCK', 'waiters of the inode');
  if (linesOf(ctx, wanted) >= LOCK_LINES_PER_OWNER_MAX) fail('ENOLCK', 'waiting threads');
  locks.wait(wanted);
  return LockOutcome.WAITING;
}

function linesOf(ctx: CommitContext, { session, owner }: Lock): number {
  return ctx.rows.read(lockWaiterKey(session, owner), LOCK_WAITER)?.inos.length ?? 0;
}
