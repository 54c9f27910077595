import { listBlockNodes } from '../../core/namespace/read.ts';
import type { Topology } from '../../gen/ringfs/v1/meta.ts';
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
      : listBlockNodes(ctx.replica.state).then((rows) => rows.map((info) => ({ info, alive: false }))),
  ]);
  return {
    clusterId: cluster?.clusterId ?? '',
    leaderId: ctx.replica.leader()?.id ?? '',
    members: [...ctx.replica.members()],
    blockNodes,
    replicas: cluster?.replicas ?? 0,
    appliedIndex: ctx.replica.appliedIndex(),
  };
}
