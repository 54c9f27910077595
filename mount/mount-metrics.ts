import type { BlockClientStats, MetaClientStats } from '../src/client/client-stats.ts';
import { counter, flag, gauge, type MetricFamily, requestFamilies } from '../src/ports/metrics.ts';
import type { VfsStats } from '../src/vfs/vfs.ts';

export interface MountMetricsInput {
  readonly mountPoint: string;
  readonly driver: string;
  readonly vfs: VfsStats;
  readonly meta: MetaClientStats;
  readonly blocks: BlockClientStats;
}

/** Everything that a mount tells of itself. docs/metrics.md says what it means; each name is in there. */
export function mountMetrics({ mountPoint, driver, vfs, meta, blocks }: MountMetricsInput): MetricFamily[] {
  return [
    gauge('ringfs_mount_info', 'Which mount this is; always 1', [
      { labels: { mount_point: mountPoint, driver }, value: 1 },
    ]),
    ...requestFamilies(
      'ringfs_fuse_request',
      'Requests of the kernel to this mount',
      { kind: 'operation', outcome: 'errno' },
      vfs.operations,
    ),
    ...fileMetrics(vfs),
    ...metaMetrics(meta),
    ...blockMetrics(blocks),
  ];
}

function fileMetrics(vfs: VfsStats): MetricFamily[] {
  const { writeBack } = vfs;
  return [
    gauge('ringfs_mount_dirty_bytes', 'Written by programs and not sent to the servers yet', vfs.dirtyBytes),
    gauge('ringfs_mount_open_handles', 'Files and directories that are open', vfs.handles),
    gauge('ringfs_mount_known_inodes', 'Inodes that the kernel remembers', vfs.knownInodes),
    counter('ringfs_mount_write_back_commits_total', 'Commits of written data', writeBack.commits),
    counter('ringfs_mount_write_back_bytes_total', 'Written data put into blocks', writeBack.bytesPut),
    counter('ringfs_mount_write_back_failures_total', 'Attempts that failed', writeBack.failures),
    counter(
      'ringfs_mount_lost_bytes_total',
      'Written, not synced, and given up: fsync or close has reported the error',
      writeBack.bytesLost,
    ),
  ];
}

function metaMetrics(meta: MetaClientStats): MetricFamily[] {
  return [
    gauge(
      'ringfs_mount_has_leader',
      '1 if the mount is connected to the leader',
      flag(meta.leader !== undefined),
    ),
    gauge('ringfs_mount_lease_held', '1 if cached metadata may be used', flag(meta.leaseHeld)),
    counter('ringfs_mount_leader_searches_total', 'Times that a leader was found', meta.leaderChanges),
    counter(
      'ringfs_mount_leader_relayed_total',
      'Of these, through another server that carried the stream to it',
      meta.relayed,
    ),
    counter('ringfs_mount_meta_requests_total', 'Requests sent to meta servers', meta.requests),
    counter('ringfs_mount_meta_retries_total', 'Reads sent again after a failure', meta.retries),
    counter(
      'ringfs_mount_follower_reads_total',
      'Reads that another server than the leader answered',
      meta.followerReads,
    ),
    counter('ringfs_mount_commits_total', 'Changes of metadata', meta.commits),
    counter(
      'ringfs_mount_commit_resends_total',
      'Commits sent again under their sequence',
      meta.commitResends,
    ),
    gauge('ringfs_mount_commits_pending', 'Commits whose answer is waited for', meta.commitsPending),
    counter(
      'ringfs_mount_commits_unknown_total',
      'Commits given up without knowing whether they took effect',
      meta.unknownFates,
    ),
    counter('ringfs_mount_meta_cache_hits_total', 'Metadata answered from the cache', meta.cacheHits),
    counter('ringfs_mount_meta_cache_misses_total', 'Metadata asked for', meta.cacheMisses),
    counter(
      'ringfs_mount_recalls_total',
      'Cached inodes dropped because another client changes them',
      meta.recalls,
    ),
  ];
}

function blockMetrics(blocks: BlockClientStats): MetricFamily[] {
  return [
    counter('ringfs_mount_block_gets_total', 'Blocks read, from the cache or not', blocks.gets),
    counter('ringfs_mount_block_fetched_bytes_total', 'Fetched from block nodes', blocks.fetchedBytes),
    counter('ringfs_mount_block_cache_hits_total', 'Blocks read from the cache', blocks.cacheHits),
    gauge('ringfs_mount_block_cache_bytes', 'Blocks in the cache', blocks.cachedBytes),
    counter('ringfs_mount_block_puts_total', 'Blocks stored', blocks.puts),
    counter('ringfs_mount_block_put_bytes_total', 'Their content', blocks.putBytes),
    counter('ringfs_mount_block_put_retries_total', 'Puts sent to another owner', blocks.putRetries),
    counter(
      'ringfs_mount_block_hedges_total',
      'Reads for which a second owner was asked because the first was slow',
      blocks.hedges,
    ),
    counter(
      'ringfs_mount_block_nodes_still_total',
      'Block nodes that stood still: what waited for them went to others',
      blocks.nodesStill,
    ),
    counter(
      'ringfs_mount_block_copies_missing_total',
      'Copies that an owner did not have, or said were damaged',
      blocks.copiesMissing,
    ),
    counter(
      'ringfs_mount_block_copies_corrupt_total',
      'Copies that arrived with another content than their name says',
      blocks.copiesCorrupt,
    ),
    counter('ringfs_mount_ring_lookups_total', 'Times that owners were asked for', blocks.ringLookups),
  ];
}
