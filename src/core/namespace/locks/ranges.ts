import type { LockRange } from '../../../gen/ringfs/v1/namespace.ts';

/** The last byte that a lock can cover: the largest off_t. A lock "to the end" covers everything up to it. */
export const LOCK_END_MAX = 2n ** 63n - 1n;

/** A locked range, both ends inclusive, and by whom. */
export interface Lock {
  readonly session: number;
  readonly owner: number;
  /** flock(2), else fcntl(2). */
  readonly flock: boolean;
  readonly exclusive: boolean;
  readonly first: bigint;
  readonly last: bigint;
  readonly pid: number;
  /** Of a waiter; 0 once it is held. */
  readonly ticket: number;
}

export type LockHolder = Pick<Lock, 'session' | 'owner' | 'flock'>;

export function sameOwner(a: LockHolder, b: LockHolder): boolean {
  return a.session === b.session && a.owner === b.owner && a.flock === b.flock;
}

/** Whether `a` and `b` cannot both be held. */
export function conflicts(a: Lock, b: Lock): boolean {
  return (
    (a.exclusive || b.exclusive) &&
    a.flock === b.flock &&
    a.first <= b.last &&
    b.first <= a.last &&
    !sameOwner(a, b)
  );
}

/** What the owner of `range` holds without it: locks that reach over its ends are cut or split. Others' stay. */
export function withoutRange(
  held: readonly Lock[],
  range: LockHolder & Pick<Lock, 'first' | 'last'>,
): Lock[] {
  return held.flatMap((lock) => {
    if (!sameOwner(lock, range) || lock.last < range.first || range.last < lock.first) return [lock];
    const left = lock.first < range.first ? [{ ...lock, last: range.first - 1n }] : [];
    const right = range.last < lock.last ? [{ ...lock, first: range.last + 1n }] : [];
    return [...left, ...right];
  });
}

/**
 * `held` with `lock` granted: it replaces what its owner holds in the range, and becomes one with the owner's locks of the
 * same type that it touches (fcntl(2)). The caller has checked that nothing conflicts.
 */
export function withLock(held: readonly Lock[], lock: Lock): Lock[] {
  const merged = { ...lock, ticket: 0 };
  const others = withoutRange(held, lock).filter((other) => {
    if (!sameOwner(other, lock) || other.exclusive !== lock.exclusive) return true;
    if (other.last + 1n === lock.first) merged.first = other.first;
    else if (lock.last + 1n === other.first) merged.last = other.last;
    else return true;
    return false;
  });
  return [...others, merged];
}

const U32 = 2n ** 32n;

export function rangeMessage(first: bigint, last: bigint): LockRange {
  return {
    firstHigh: Number(first / U32),
    firstLow: Number(first % U32),
    lastHigh: Number(last / U32),
    lastLow: Number(last % U32),
  };
}

/** Undefined for a range that no lock can have. */
export function rangeOf(message: LockRange | undefined): { first: bigint; last: bigint } | undefined {
  if (message === undefined) return undefined;
  const first = BigInt(message.firstHigh) * U32 + BigInt(message.firstLow);
  const last = BigInt(message.lastHigh) * U32 + BigInt(message.lastLow);
  return first <= last && last <= LOCK_END_MAX ? { first, last } : undefined;
}
