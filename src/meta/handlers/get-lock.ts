import { FsError } from '../../base/errno.ts';
import { rangeMessage } from '../../core/namespace/locks/ranges.ts';
import { F_RDLCK, F_WRLCK } from '../../core/namespace/ops/lock.ts';
import { conflictingLock } from '../../core/namespace/read.ts';
import type { GetLockReply, GetLockRequest } from '../../gen/ringfs/v1/meta.ts';
import type { SessionContext } from '../context.ts';

/** F_GETLK. Throws FsError EINVAL. */
export async function getLock(ctx: SessionContext, { wanted }: GetLockRequest): Promise<GetLockReply> {
  const { replica, session, lead } = ctx;
  if (wanted === undefined) throw new FsError('EINVAL', 'no lock to look for');
  await replica.readBarrier();
  const lock = await conflictingLock(replica.state, session.id, wanted);
  lead.check();
  if (lock === undefined) return { held: undefined, ownSession: false };
  const { flock, exclusive, first, last, pid } = lock;
  const type = exclusive ? F_WRLCK : F_RDLCK;
  const held = { ino: wanted.ino, flock, owner: 0, range: rangeMessage(first, last), type, pid, ticket: 0 };
  return { held, ownSession: lock.session === session.id };
}
