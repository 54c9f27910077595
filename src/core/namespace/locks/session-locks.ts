import { LOCKED_INODES_PER_BUCKET_MAX } from '../../../base/limits.ts';
import { lockedInodesKey, lockKey, lockWaiterKey, sessionKey } from '../keys.ts';
import { LOCK, LOCKED_INODES, SESSION } from '../rows.ts';
import type { LockGrant, Rows } from '../types.ts';
import { InodeLocks } from './inode-locks.ts';

/** Which inodes a session has locks in, so that its end finds them. Buckets keep the rows small that each lock rewrites. */

const BUCKETS = 32;

export const lockBucket = (ino: number): number => ino % BUCKETS;

/** False: the session has locks in too many inodes. */
export function enterLockedInode(rows: Rows, session: number, ino: number): boolean {
  const bucket = lockBucket(ino);
  const inos = rows.read(lockedInodesKey(session, bucket), LOCKED_INODES)?.inos ?? [];
  if (inos.length >= LOCKED_INODES_PER_BUCKET_MAX) return false;
  rows.write(lockedInodesKey(session, bucket), LOCKED_INODES, { inos: [...inos, ino] });
  if (inos.length === 0) setBucket(rows, session, bucket, true);
  return true;
}

export function leaveLockedInode(rows: Rows, session: number, ino: number): void {
  const bucket = lockBucket(ino);
  const key = lockedInodesKey(session, bucket);
  const inos = (rows.read(key, LOCKED_INODES)?.inos ?? []).filter((other) => other !== ino);
  if (inos.length > 0) {
    rows.write(key, LOCKED_INODES, { inos });
    return;
  }
  rows.del(key);
  setBucket(rows, session, bucket, false);
}

function setBucket(rows: Rows, session: number, bucket: number, present: boolean): void {
  const row = rows.read(sessionKey(session), SESSION);
  if (row === undefined) return;
  const bit = 1 << bucket;
  const lockBuckets = (present ? row.lockBuckets | bit : row.lockBuckets & ~bit) >>> 0;
  rows.write(sessionKey(session), SESSION, { ...row, lockBuckets });
}

/** The session ends: its locks go to those who wait, and it waits for nothing any more. */
export function dropSessionLocks(
  rows: Rows,
  index: number,
  session: number,
  lockBuckets: number,
  grants: LockGrant[],
): void {
  const buckets = Array.from({ length: BUCKETS }, (_, bucket) => bucket).filter(
    (bucket) => ((lockBuckets >>> bucket) & 1) !== 0,
  );
  if (buckets.length === 0) return;
  const keys = buckets.map((bucket) => lockedInodesKey(session, bucket));
  rows.require(keys);
  const inos = keys.flatMap((key) => rows.read(key, LOCKED_INODES)?.inos ?? []);
  // Each row found missing on its own would apply the whole command again.
  rows.require(inos.map(lockKey));
  rows.require(
    inos.flatMap((ino) =>
      (rows.read(lockKey(ino), LOCK)?.waiting ?? []).map((w) => lockWaiterKey(w.session, w.owner)),
    ),
  );
  for (const ino of inos) {
    const locks = new InodeLocks(rows, ino);
    locks.leave(new Set(locks.waiting.filter((lock) => lock.session === session)));
    locks.held = locks.held.filter((lock) => lock.session !== session);
    locks.grant(grants);
    locks.store(index);
  }
  for (const key of keys) rows.del(key);
}
