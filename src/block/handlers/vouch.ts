import type { BlockId } from '../../base/ids.ts';
import { BLOCK_IDS_PER_CALL_MAX } from '../../base/limits.ts';
import { takesBlocks } from '../../core/namespace/block-nodes.ts';
import { BlockErrorCode, type VouchForBlocks } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { OwnersInOrder } from '../owners-in-order.ts';
import { BlockRequestError, blockIdFromWire, type ReplyBody } from '../wire.ts';

/** Another node drops its copies of those that all of their owners vouch for: see Surplus. */
export async function handleVouch(context: BlockContext, request: VouchForBlocks): Promise<ReplyBody> {
  const { nodeId, ring, registry, local, replicas } = context;
  const { blockIds, uploadedAt, read } = request;
  if (
    blockIds.length > BLOCK_IDS_PER_CALL_MAX ||
    [uploadedAt, read].some((of) => of.length !== blockIds.length)
  ) {
    throw new BlockRequestError(BlockErrorCode.INVALID, 'too many block ids, or not all of each');
  }
  const { own } = registry;
  if (!ring.joined || own === undefined || !takesBlocks(own)) {
    throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'the copies of this node do not count now');
  }
  const ids = blockIds.map(blockIdFromWire);
  const owners = new OwnersInOrder(ring, replicas);
  const owned: boolean[] = [];
  for (const id of ids) owned.push((await owners.of(id)).some((member) => member.nodeId === nodeId));
  // What it does not own it may drop itself: its copies are not to be raised for nothing.
  const copies = ids.flatMap((id, i) => (owned[i] ? [{ id, uploadedAt: uploadedAt[i]! }] : []));
  const kept = await local.vouch(copies);
  let next = 0;
  const vouched = owned.map((is) => is && kept[next++] === true);
  // One after the other: it must not push clients aside.
  for (const [i, id] of ids.entries()) {
    if (vouched[i] && read[i]) vouched[i] = await isGood(context, id);
  }
  return { $case: 'vouch', value: { vouched } };
}

async function isGood({ gets, local, repair }: BlockContext, id: BlockId): Promise<boolean> {
  if (!(await gets.acquire(1))) return false;
  try {
    const state = await local.verify(id);
    // The node that asks still has its copy.
    if (state === 'corrupt') void repair.heal(id);
    return state === 'good';
  } finally {
    gets.release(1);
  }
}
