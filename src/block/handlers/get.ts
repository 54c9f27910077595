import { BlockErrorCode, type GetBlock } from '../../gen/ringfs/v1/block.ts';
import { BlockStoreError } from '../../ports/block-store.ts';
import type { BlockContext } from '../context.ts';
import { BlockRequestError, blockIdFromWire, type ReplyBody } from '../wire.ts';

/** The reader checks the hash: doing it here too would cost a second pass over every byte read. */
export async function handleGet(context: BlockContext, request: GetBlock): Promise<ReplyBody> {
  const id = blockIdFromWire(request.blockId);
  // Not healed for this: a node that looks for a good copy would be asked for one by those that it asks, without end. The
  // scrubber tries again.
  if (context.local.isBad(id)) throw new BlockStoreError('corrupt', `block ${id} is damaged`);
  if (!(await context.gets.acquire(1))) {
    throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'too many gets are waiting');
  }
  // Other nodes ask for the time of upload, clients do not.
  if (request.withUploadedAt !== true) context.pace.clientServed();
  try {
    const { store } = context.local;
    const [entry] = request.withUploadedAt === true ? await store.stat([id]) : [];
    const data = await store.get(id);
    if (data === undefined) throw new BlockRequestError(BlockErrorCode.NOT_FOUND, 'no such block here');
    return { $case: 'get', value: { data, uploadedAt: entry?.uploadedAt } };
  } catch (error) {
    if (error instanceof BlockStoreError && error.code === 'corrupt') void context.repair.heal(id);
    throw error;
  } finally {
    context.gets.release(1);
  }
}
