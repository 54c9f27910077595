import { readCounters } from '../../core/namespace/read.ts';
import type { StatFsReply } from '../../gen/ringfs/v1/meta.ts';
import type { LeaderContext } from '../context.ts';

/** Sums over the tree, and what the block nodes have room for. */
export async function statFs(ctx: LeaderContext): Promise<StatFsReply> {
  await ctx.replica.readBarrier();
  const cluster = await ctx.cluster();
  const [counters, capacity] = await Promise.all([
    readCounters(ctx.replica.state),
    ctx.lead.registry.capacity(cluster?.replicas ?? 1),
  ]);
  ctx.lead.check();
  return { inodes: counters.inodes, logicalBytes: counters.allocatedBytes, ...capacity };
}
