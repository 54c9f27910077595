import { BlockErrorCode, type BlockHello } from '../../gen/ringfs/v1/block.ts';
import type { BlockContext } from '../context.ts';
import { BlockRequestError, type ReplyBody } from '../wire.ts';

export async function handleHello(context: BlockContext, hello: BlockHello): Promise<ReplyBody> {
  const { clusterId, nodeId } = context;
  if (hello.clusterId !== clusterId) {
    throw new BlockRequestError(BlockErrorCode.WRONG_CLUSTER, `this node belongs to cluster ${clusterId}`);
  }
  return { $case: 'hello', value: { clusterId, nodeId } };
}
