import Table from 'cli-table3';
import type { GarbageOfCluster, GarbageOfNode } from '../../gen/ringfs/v1/admin.ts';
import { requestGarbage } from '../../io/grpc/admin-client.ts';
import { CliError } from '../cli-error.ts';
import { collect } from '../cluster-report.ts';
import { bytes, targetsOf } from './status.ts';

/** A pass reads and writes whole segments. */
const PASS_TIMEOUT_MS = 600_000;
const LOOK_TIMEOUT_MS = 30_000;

export interface GcFlags {
  readonly data: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Garbage collection as an operator sees it. Throws CliError. */
export async function runGc(addresses: string | undefined, flags: GcFlags): Promise<void> {
  const servers = [...(await collect(targetsOf(addresses, flags.data))).values()];
  const answering = servers.filter((server) => server.health !== 'down');
  if (answering.length === 0)
    throw new CliError('no server answers', 'start the cluster with: ringfs up, or name the servers');
  const dryRun = flags.dryRun === true;
  // The leader first: what it has deleted is dead when the nodes look at their segments.
  const leads = (server: (typeof servers)[number]): boolean =>
    (server.raft as { role?: string } | null)?.role === 'leader';
  const order = [...answering].sort((a, b) => Number(leads(b)) - Number(leads(a)));
  let cluster: GarbageOfCluster | undefined;
  const nodes: GarbageOfNode[] = [];
  for (const { address } of order) {
    const reply = await requestGarbage(address, dryRun, dryRun ? LOOK_TIMEOUT_MS : PASS_TIMEOUT_MS).catch(
      (error: unknown) => {
        throw new CliError((error as Error).message);
      },
    );
    cluster ??= reply.cluster;
    if (reply.node !== undefined) nodes.push(reply.node);
  }
  if (cluster === undefined) throw new CliError('no leader answers', 'see: ringfs status');
  nodes.sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify({ dryRun, cluster, nodes }, null, 2)}\n`);
    return;
  }
  process.stdout.write(`${clusterTable(cluster)}\n${nodeTable(nodes)}\n`);
}

function clusterTable(cluster: GarbageOfCluster): string {
  const table = new Table({
    head: ['blocks that no file refers to', 'blocks', 'size'],
    style: { head: [], border: [] },
  });
  const row = (what: string, blocks: number, size: number): void => {
    table.push([what, blocks, bytes(size)]);
  };
  row(`kept for ${cluster.graceMs / 1000} s`, cluster.inGraceBlocks, cluster.inGraceBytes);
  row('due', cluster.dueBlocks, cluster.dueBytes);
  row('being deleted', cluster.deletingBlocks, cluster.deletingBytes);
  row('found unreferenced by this leader', cluster.unreferencedBlocks, cluster.unreferencedBytes);
  row('deleted since the cluster was made', cluster.reclaimedBlocks, cluster.reclaimedBytes);
  return table.toString();
}

function nodeTable(nodes: readonly GarbageOfNode[]): string {
  const head = ['block node', 'blocks', 'stored', 'segments', 'dead in segments', 'deleted since start'];
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const node of nodes) {
    table.push([
      node.id,
      node.blocks,
      bytes(node.storedBytes),
      bytes(node.fileBytes),
      bytes(node.deadBytes),
      `${node.deletedBlocks} (${bytes(node.deletedBytes)})`,
    ]);
  }
  return table.toString();
}
