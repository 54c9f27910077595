import { BlockErrorCode, type RingExchange } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { BlockRequestError, chordReplyToWire, chordRequestFromWire, type ReplyBody } from '../wire.ts';

export async function handleRing(context: BlockContext, exchange: RingExchange): Promise<ReplyBody> {
  const reply = context.ring.handle(chordRequestFromWire(exchange));
  if (reply === undefined) {
    throw new BlockRequestError(BlockErrorCode.INVALID, 'there is no such virtual node here');
  }
  return { $case: 'ring', value: chordReplyToWire(reply) };
}
