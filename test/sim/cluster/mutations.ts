import type { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import type { Replica } from '../../../src/meta/replica.ts';
import type { RpcConnector } from '../../../src/ports/rpc.ts';
import type { SimDisk } from './disk.ts';
import type { LinkTampering } from './links.ts';
import type { SimOptions } from './options.ts';
import type { SimWorld } from './world.ts';

/** A mistake planted between the parts of the product; the parts themselves know nothing of it. */
export interface Mutation {
  /** Under which it shows soon. */
  readonly profile: string;
  readonly options?: Partial<SimOptions>;
  /** The checks that have to find it; the others are not asked. */
  readonly checks: readonly string[];
  links?(world: SimWorld): LinkTampering;
  disk?(disk: SimDisk, world: SimWorld): void;
  replica?(replica: Replica, world: SimWorld): Replica;
  connector?(
    connector: RpcConnector<MetaRequest, MetaReply>,
    world: SimWorld,
  ): RpcConnector<MetaRequest, MetaReply>;
}
