import { FsError } from '../../base/errno.ts';
import { KNOWN_BLOCKS_PER_REQUEST_MAX } from '../../base/limits.ts';
import { BLOCK_ID_BYTES } from '../../core/namespace/blocks.ts';
import { knownBlocks as readKnownBlocks } from '../../core/namespace/read.ts';
import type { KnownBlocksReply, KnownBlocksRequest } from '../../gen/ringfs/v1/meta.ts';
import type { LeaderContext } from '../context.ts';

/** Throws FsError EINVAL. The answer is a hint: a commit that relies on it says so and is checked again. */
export async function knownBlocks(
  ctx: LeaderContext,
  request: KnownBlocksRequest,
): Promise<KnownBlocksReply> {
  const { blockIds } = request;
  if (blockIds.length > KNOWN_BLOCKS_PER_REQUEST_MAX) {
    throw new FsError('EINVAL', `${blockIds.length} blocks; at most ${KNOWN_BLOCKS_PER_REQUEST_MAX}`);
  }
  if (blockIds.some((id) => id.length !== BLOCK_ID_BYTES)) throw new FsError('EINVAL', 'not a block id');
  await ctx.replica.readBarrier();
  const known = await readKnownBlocks(ctx.replica.state, blockIds);
  ctx.lead.check();
  return { known };
}
