import { BLOCK_IDS_PER_CALL_MAX } from '../../base/limits.ts';
import type { ListBlocks } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { blockIdFromWire, blockIdToWire, type ReplyBody } from '../wire.ts';

export async function handleList(context: BlockContext, request: ListBlocks): Promise<ReplyBody> {
  const after = request.after.length === 0 ? undefined : blockIdFromWire(request.after);
  const until = request.until.length === 0 ? undefined : blockIdFromWire(request.until);
  const limit = Math.min(
    request.limit === 0 ? BLOCK_IDS_PER_CALL_MAX : request.limit,
    BLOCK_IDS_PER_CALL_MAX,
  );
  const entries = await context.local.store.list(after, until, limit);
  return {
    $case: 'list',
    value: {
      blockIds: entries.map((entry) => blockIdToWire(entry.id)),
      lengths: entries.map((entry) => entry.length),
      end: entries.length < limit,
    },
  };
}
