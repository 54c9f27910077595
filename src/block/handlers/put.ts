import { BLOCK_SIZE_BYTES_MAX } from '../../base/limits.ts';
import { BlockErrorCode, type PutBlock } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { hashOf } from '../local-blocks.ts';
import { BlockRequestError, blockIdFromWire, type ReplyBody } from '../wire.ts';

export async function handlePut(context: BlockContext, request: PutBlock): Promise<ReplyBody> {
  const id = blockIdFromWire(request.blockId);
  const { data } = request;
  if (data.length > BLOCK_SIZE_BYTES_MAX) {
    throw new BlockRequestError(BlockErrorCode.INVALID, `block of ${data.length} bytes is too large`);
  }
  if (hashOf(data) !== id) {
    throw new BlockRequestError(BlockErrorCode.INVALID, 'the content does not have this hash');
  }
  if (request.replicate) {
    context.pace.clientServed();
    if (!context.ring.joined) {
      throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'this node has not joined the ring');
    }
    return { $case: 'put', value: await context.replication.put(id, data, request.uploadedAt ?? 0) };
  }
  if (!(await context.copyBytes.acquire(data.length))) {
    throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'too many puts are waiting');
  }
  try {
    const { existed } = await context.local.put(id, data, request.uploadedAt ?? 0);
    return { $case: 'put', value: { durableCopies: 1, existed } };
  } finally {
    context.copyBytes.release(data.length);
  }
}
