import type { BlockReply, BlockRequest } from '../../gen/ringfs/v1/block.ts';
import { MetaReply, MetaRequest } from '../../gen/ringfs/v1/meta.ts';
import { BlockService, MetaService } from '../../gen/ringfs/v1/service.ts';
import type { RpcConnector } from '../../ports/rpc.ts';
import { blockReplyCodec, blockRequestCodec } from './block-codec.ts';
import { GrpcConnector } from './stream-client.ts';

export function metaConnector(): RpcConnector<MetaRequest, MetaReply> {
  return new GrpcConnector(MetaService.session.path, MetaRequest, MetaReply);
}

export function blockConnector(): RpcConnector<BlockRequest, BlockReply> {
  return new GrpcConnector(BlockService.exchange.path, blockRequestCodec, blockReplyCodec);
}
