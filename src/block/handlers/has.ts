import { BLOCK_IDS_PER_CALL_MAX } from '../../base/limits.ts';
import { BlockErrorCode, type HasBlocks } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { BlockRequestError, blockIdFromWire, type ReplyBody } from '../wire.ts';

export async function handleHas(context: BlockContext, request: HasBlocks): Promise<ReplyBody> {
  if (request.blockIds.length > BLOCK_IDS_PER_CALL_MAX) {
    throw new BlockRequestError(BlockErrorCode.INVALID, 'too many block ids');
  }
  const ids = request.blockIds.map(blockIdFromWire);
  const present = await context.local.has(ids, request.uploadedAt);
  return { $case: 'has', value: { present } };
}
