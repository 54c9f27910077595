import { listBlockNodes } from '../../core/namespace/read.ts';
import type { Topology } from '../../gen/ringfs/v1/meta.ts';
import { BlockNodeMode } from '../../gen/ringfs/v1/namespace.ts';
import { stateOf } from '../block-node-registry.ts';
import type { ServerContext } from '../context.ts';

/**
 * What this member knows of the cluster; any member answers. Members and leader are as this replica sees them. Only the leader
 * hears of block nodes, so a follower says of none that it is alive, and its rows may be a little old.
 */
export async function topology(ctx: ServerContext): Promise<Topology> {
  const lead = ctx.leadership();
  const [cluster, blockNodes] = await Promise.all([
    ctx.cluster(),
    lead !== undefined
      ? lead.registry.states()
      : listBlockNodes(ctx.replica.state).then((rows) =>
          rows.map((row) => ({ ...stateOf(row), alive: false })),
        ),
  ]);
  return {
    clusterId: cluster?.clusterId ?? '',
    leaderId: ctx.replica.leader()?.id ?? '',
    members: [...ctx.replica.members()],
    // A removed node is none to be asked for blocks.
    blockNodes: blockNodes.filter((node) => node.mode !== BlockNodeMode.REMOVED),
    replicas: cluster?.replicas ?? 0,
    appliedIndex: ctx.replica.appliedIndex(),
  };
}
