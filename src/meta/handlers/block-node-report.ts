import { FsError } from '../../base/errno.ts';
import type { BlockNodeReport, BlockNodeReportReply } from '../../gen/ringfs/v1/meta.ts';
import type { LeaderContext } from '../context.ts';

const ADDRESS_LENGTH_MAX = 512;
const DOMAIN_LENGTH_MAX = 128;
const NODE_ID = /^[\x21-\x7e]{1,128}$/;

/** A block node says how it is and learns of the others. Throws FsError EINVAL, ENOSPC, and what propose throws. */
export async function blockNodeReport(
  ctx: LeaderContext,
  { node, placedAt, drain }: BlockNodeReport,
): Promise<BlockNodeReportReply> {
  if (node === undefined || !NODE_ID.test(node.id)) throw new FsError('EINVAL', 'no block node id');
  if (node.address === '' || node.address.length > ADDRESS_LENGTH_MAX) {
    throw new FsError('EINVAL', 'no block node address');
  }
  if ((node.domain?.length ?? 0) > DOMAIN_LENGTH_MAX)
    throw new FsError('EINVAL', 'failure domain is too long');
  await ctx.lead.registry.report(node, { placedAt: placedAt ?? 0, drain });
  ctx.lead.check();
  const [nodes, cluster] = await Promise.all([ctx.lead.registry.states(), ctx.cluster()]);
  ctx.lead.check();
  return { nodes, clusterId: cluster?.clusterId ?? '', replicas: cluster?.replicas ?? 0 };
}
