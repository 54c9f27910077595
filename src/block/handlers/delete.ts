import { BLOCK_IDS_PER_CALL_MAX } from '../../base/limits.ts';
import { BlockErrorCode, type DeleteBlocks } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { BlockRequestError, blockIdFromWire, type ReplyBody } from '../wire.ts';

/** What garbage collection has marked. A copy that was put since then stays. */
export async function handleDelete(context: BlockContext, request: DeleteBlocks): Promise<ReplyBody> {
  const { blockIds, before } = request;
  if (blockIds.length > BLOCK_IDS_PER_CALL_MAX || before === 0) {
    throw new BlockRequestError(BlockErrorCode.INVALID, 'too many block ids, or no index');
  }
  return { $case: 'delete', value: await context.local.collect(blockIds.map(blockIdFromWire), before) };
}
