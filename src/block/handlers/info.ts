import { BLOCK_SIZE_BYTES_MAX } from '../../base/limits.ts';
import type { NodeInfo, NodeInfoRequest } from '../../gen/ringfs/v1/block.ts';
import { BlockNodeMode } from '../../gen/ringfs/v1/namespace.ts';
import type { BlockContext } from '../context.ts';
import { memberToWire } from '../wire.ts';

export async function nodeInfo(context: BlockContext, request: NodeInfoRequest): Promise<NodeInfo> {
  const { nodeId, address, clusterId, ring, local, repair, surplus, scrub, registry, domain, replicas } =
    context;
  const stats = await local.store.stats();
  return {
    nodeId,
    address,
    clusterId,
    joined: ring.joined,
    blocks: stats.blocks,
    storedBytes: stats.storedBytes,
    capacityBytes: stats.capacityBytes,
    availableBytes: stats.availableBytes,
    ringShare: ring.core.ringShare(),
    positions: ring.core.ownMembers.map(memberToWire),
    ring: request.withRing ? ring.core.knownMembers().map(memberToWire) : [],
    corruptFound: local.corruptFound,
    repaired: repair.repaired + local.replaced,
    underReplicated: repair.underReplicated,
    fileBytes: stats.fileBytes,
    deadBytes: stats.deadBytes,
    deletedBlocks: local.deleted.blocks,
    deletedBytes: local.deleted.bytes,
    badCopies: local.badCopies,
    scrub: scrub.status(),
    quarantinedSegments: stats.quarantinedSegments,
    quarantinedBytes: stats.quarantinedBytes,
    domain,
    mode: registry.own?.mode ?? BlockNodeMode.UNSPECIFIED,
    drain: await repair.drainProgress(),
    repair: { ...repair.progress(), ...surplus.progress() },
    domains: registry.domains,
    replicas,
    readOnly: stats.availableBytes < BLOCK_SIZE_BYTES_MAX,
  };
}
