import { LEASED_READ_TRIES_MAX } from '../base/limits.ts';
import type { ReadContext, SessionContext } from './context.ts';
import type { LeasedReply } from './leases.ts';

/** What a read found, and which inodes the answer depends on. */
export interface ReadResult<T extends LeasedReply> {
  readonly reply: T;
  readonly inos: readonly number[];
}

/**
 * A linearizable read of several rows as of one moment, with a lease on the inodes that it depends on. The inodes are
 * registered before they are read, so that every change from then on is noticed; when there is one, or when an inode turns up
 * that was not registered before, and anything changed meanwhile, it is read again. A read that never finds quiet is answered
 * without a lease.
 *
 * What it found may be the work of a commit that is not acknowledged yet because another client has not confirmed its recall.
 * Telling of it now would let that client's user see the old state after ours saw the new one, so the answer waits as the
 * commit's does.
 */
export async function leasedRead<T extends LeasedReply>(
  ctx: ReadContext,
  inos: readonly number[],
  read: () => Promise<ReadResult<T>>,
): Promise<T> {
  if (ctx.session !== undefined) return await readWithLease(ctx, inos, read);
  return (await ctx.unleased.read(read)).reply;
}

async function readWithLease<T extends LeasedReply>(
  ctx: SessionContext,
  inos: readonly number[],
  read: () => Promise<ReadResult<T>>,
): Promise<T> {
  const { lead, session, replica } = ctx;
  const { leases } = lead;
  const ticket = leases.begin(session.holder, inos);
  let reply: T | undefined;
  try {
    for (let tries = 1; reply === undefined; tries++) {
      await replica.readBarrier();
      lead.check();
      ticket.disturbed = false;
      leases.lease(ticket);
      const changes = leases.changes;
      const result = await read();
      lead.check();
      const unseen = leases.extend(ticket, result.inos) && leases.changes !== changes;
      const settled = leases.settled(ticket.inos, session.id);
      if (settled !== undefined) {
        await settled;
        lead.check();
      }
      if (unseen) ticket.disturb();
      if (!ticket.disturbed || tries === LEASED_READ_TRIES_MAX) reply = result.reply;
    }
    return reply;
  } finally {
    leases.finish(ticket, reply);
  }
}

/** A linearizable read of one moment without a lease; like `leasedRead` it tells of no commit before that may be known. */
export async function plainRead<T>(
  ctx: ReadContext,
  inos: readonly number[],
  read: () => Promise<T>,
): Promise<T> {
  if (ctx.session === undefined) return await ctx.unleased.read(read);
  const { lead, session, replica } = ctx;
  await replica.readBarrier();
  const reply = await read();
  await lead.leases.settled(inos, session.id);
  lead.check();
  return reply;
}
