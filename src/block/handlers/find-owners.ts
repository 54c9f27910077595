import { fromHex } from '../../base/bytes.ts';
import { BlockErrorCode, type FindOwners } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { BlockRequestError, memberToWire, positionFromWire, type ReplyBody } from '../wire.ts';

const EMPTY = new Uint8Array(0);

export async function handleFindOwners(context: BlockContext, request: FindOwners): Promise<ReplyBody> {
  if (!context.ring.joined) {
    throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'this node has not joined the ring');
  }
  const answer = context.ring.owners(positionFromWire(request.key), Math.max(1, request.count));
  if (!answer.done) {
    const nextHop = memberToWire(answer.nextHop);
    return {
      $case: 'owners',
      value: { done: false, owners: [], nextHop, rangeStart: EMPTY, rangeEnd: EMPTY },
    };
  }
  return {
    $case: 'owners',
    value: {
      done: true,
      owners: answer.owners.map(memberToWire),
      nextHop: undefined,
      rangeStart: fromHex(answer.rangeStart),
      rangeEnd: fromHex(answer.rangeEnd),
    },
  };
}
