import { VERIFY_BLOCKS_PER_CALL_MAX } from '../../base/limits.ts';
import { BlockErrorCode, CopyState, type VerifyBlocks } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { BlockRequestError, blockIdFromWire, type ReplyBody } from '../wire.ts';

const STATES = { good: CopyState.GOOD, missing: CopyState.MISSING, corrupt: CopyState.CORRUPT } as const;

/** Reads and hashes copies for `ringfs fsck`, one after the other: it must not push clients aside. */
export async function handleVerify(context: BlockContext, request: VerifyBlocks): Promise<ReplyBody> {
  const { gets, local, repair } = context;
  if (request.blockIds.length > VERIFY_BLOCKS_PER_CALL_MAX) {
    throw new BlockRequestError(BlockErrorCode.INVALID, 'too many block ids');
  }
  const states: CopyState[] = [];
  for (const id of request.blockIds.map(blockIdFromWire)) {
    if (request.heal) await repair.heal(id);
    if (!(await gets.acquire(1))) {
      throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'too many gets are waiting');
    }
    try {
      states.push(STATES[await local.verify(id)]);
    } finally {
      gets.release(1);
    }
  }
  return { $case: 'verify', value: { states } };
}
