import { FsError } from '../../base/errno.ts';
import { RECONCILE_PAGE_BLOCKS } from '../../base/limits.ts';
import { BLOCK_ID_BYTES } from '../../core/namespace/blocks.ts';
import type { ReconcileBlocks, ReconcileBlocksReply } from '../../gen/ringfs/v1/meta.ts';
import type { LeaderContext } from '../context.ts';

/** A block node names copies that it has. Throws FsError EINVAL, and what propose throws. */
export async function reconcileBlocks(
  ctx: LeaderContext,
  { copies }: ReconcileBlocks,
): Promise<ReconcileBlocksReply> {
  if (copies.length > RECONCILE_PAGE_BLOCKS) {
    throw new FsError('EINVAL', `${copies.length} blocks; at most ${RECONCILE_PAGE_BLOCKS}`);
  }
  if (copies.some(({ blockId }) => blockId.length !== BLOCK_ID_BYTES)) {
    throw new FsError('EINVAL', 'not a block id');
  }
  const condemned = (await ctx.lead.garbage?.reconcile(copies)) ?? 0;
  ctx.lead.check();
  return { condemned };
}
