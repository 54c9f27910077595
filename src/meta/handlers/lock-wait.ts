import { lockWaits } from '../../core/namespace/read.ts';
import type { LockWaitReply, LockWaitRequest } from '../../gen/ringfs/v1/meta.ts';
import type { SessionContext } from '../context.ts';

/** Whether a client's request for a lock is still in line. */
export async function lockWait(
  { replica, session, lead }: SessionContext,
  { ino, ticket }: LockWaitRequest,
): Promise<LockWaitReply> {
  await replica.readBarrier();
  const waiting = await lockWaits(replica.state, session.id, ino, ticket);
  lead.check();
  return { waiting };
}
