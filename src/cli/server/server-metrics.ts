import { LatencyHistogram, type LatencySnapshot, type RequestSnapshot } from '../../base/request-stats.ts';
import type { RaftStatus, ServerStatus } from '../../gen/ringfs/v1/admin.ts';
import type { NodeInfo } from '../../gen/ringfs/v1/block.ts';
import type { MetaServerStats } from '../../meta/meta-server.ts';
import type { RaftCountersSnapshot } from '../../meta/raft/raft-counters.ts';
import { counter, flag, gauge, type MetricFamily, requestFamilies } from '../../ports/metrics.ts';

export interface ServerMetricsInput {
  /** What `ringfs status` shows. */
  readonly status: ServerStatus;
  /** With the role meta. */
  readonly meta?: {
    readonly server: MetaServerStats;
    readonly requests: readonly RequestSnapshot[];
    readonly raft: RaftCountersSnapshot;
  };
  /** With the role block. */
  readonly blockRequests?: readonly RequestSnapshot[];
}

/** Everything that a server tells of itself. docs/metrics.md says what it means; each name is in there. */
export function serverMetrics({ status, meta, blockRequests }: ServerMetricsInput): MetricFamily[] {
  const { id, version, clusterId, roles, raft, block } = status;
  const labels = { id, version, cluster_id: clusterId, roles: roles.join(',') };
  return [
    gauge('ringfs_server_info', 'Who this server is; always 1', [{ labels, value: 1 }]),
    gauge('ringfs_healthy', '1 if the health in ringfs status is ok', flag(status.health === 'ok')),
    ...(raft === undefined ? [] : raftMetrics(raft)),
    ...(meta === undefined
      ? []
      : [...raftCounters(meta.raft), ...sessionMetrics(meta.server), ...metaRequests(meta.requests)]),
    ...(block === undefined ? [] : [...spaceMetrics(block), ...copyMetrics(block), ...scrubMetrics(block)]),
    ...(blockRequests === undefined
      ? []
      : requestFamilies(
          'ringfs_block_request',
          'Requests of clients and of other nodes to this block node',
          { kind: 'kind', outcome: 'outcome' },
          blockRequests,
        )),
  ];
}

function raftMetrics(raft: RaftStatus): MetricFamily[] {
  const { peers, stateCheck } = raft;
  const diverged = (stateCheck?.diverged ?? []).length;
  return [
    gauge('ringfs_raft_term', 'Term of the metadata cluster as this server knows it', raft.term),
    gauge('ringfs_raft_is_leader', '1 if this server leads', flag(raft.role === 'leader')),
    gauge('ringfs_raft_has_leader', '1 if this server knows who leads', flag(raft.leaderId !== '')),
    gauge('ringfs_raft_commit_index', 'Log entries known to be committed', raft.commitIndex),
    gauge('ringfs_raft_applied_index', 'Log entries applied to the state', raft.appliedIndex),
    gauge('ringfs_raft_last_index', 'Log entries on this disk', raft.lastIndex),
    gauge('ringfs_raft_first_index', 'First log entry that was not compacted', raft.firstIndex),
    gauge('ringfs_raft_voters', 'Servers that vote', raft.voters.length),
    gauge('ringfs_raft_learners', 'Servers that do not vote yet', raft.learners.length),
    gauge(
      'ringfs_raft_peer_match_index',
      'On the leader: log entries known to be on the disk of that server',
      peers.map(({ id, matchIndex }) => ({ labels: { peer: id }, value: matchIndex })),
    ),
    gauge(
      'ringfs_raft_peer_active',
      'On the leader: 1 if that server was heard of within an election timeout',
      peers.map(({ id, recentlyActive }) => ({ labels: { peer: id }, value: flag(recentlyActive) })),
    ),
    gauge(
      'ringfs_raft_state_diverged',
      'On the leader: replicas whose rows differ from the others',
      diverged,
    ),
  ];
}

function raftCounters(raft: RaftCountersSnapshot): MetricFamily[] {
  return [
    counter('ringfs_raft_campaigns_total', 'Times that this server stood for election', raft.campaigns),
    counter('ringfs_raft_elections_won_total', 'Times that it was elected', raft.electionsWon),
    counter('ringfs_raft_leader_changes_total', 'Changes of the leader that it saw', raft.leaderChanges),
    latency(
      'ringfs_raft_log_write_duration_seconds',
      'Synced writes of the log, which commits wait for',
      raft.logWrites,
    ),
  ];
}

const latency = (name: string, help: string, snapshot: LatencySnapshot): MetricFamily => ({
  type: 'histogram',
  name,
  help,
  samples: [{ latency: snapshot }],
});

function sessionMetrics(stats: MetaServerStats): MetricFamily[] {
  return [
    gauge('ringfs_meta_streams', 'Connections of clients', stats.streams),
    gauge('ringfs_meta_streams_relayed', 'Of these, carried on to the leader', stats.streamsRelayed),
    gauge('ringfs_meta_sessions', 'On the leader: mounts and other clients', stats.sessions),
    counter(
      'ringfs_meta_sessions_expired_total',
      'Sessions ended because nothing was heard of them, in this leadership',
      stats.sessionsExpired,
    ),
    gauge('ringfs_meta_leases', 'On the leader: inodes that clients have cached', stats.leases),
    counter('ringfs_meta_recalls_total', 'Leases recalled, in this leadership', stats.recallsSent),
    gauge('ringfs_meta_recalls_pending', 'Recalls that commits wait for', stats.recallsPending),
    counter(
      'ringfs_meta_recalls_expired_total',
      'Recalls that were not confirmed in time, in this leadership',
      stats.recallsExpired,
    ),
    gauge('ringfs_meta_orphans', 'Unlinked inodes that wait to be deleted', stats.orphansQueued),
    counter('ringfs_meta_overloaded_total', 'Requests refused because there were too many', stats.overloaded),
  ];
}

/** Commits have names of their own: they are what a cluster is measured by. There from the start, so that the first counts as a change. */
function metaRequests(requests: readonly RequestSnapshot[]): MetricFamily[] {
  const commits = requests.find(({ kind }) => kind === 'commit');
  const outcomes = Object.entries({ ok: 0, ...commits?.outcomes });
  return [
    counter(
      'ringfs_commits_total',
      'Commits that clients asked this server for, by how they ended',
      outcomes.map(([outcome, value]) => ({ labels: { outcome }, value })),
    ),
    latency(
      'ringfs_commit_duration_seconds',
      'Commits: from the request until it may be acknowledged',
      commits?.latency ?? new LatencyHistogram().snapshot(),
    ),
    ...requestFamilies(
      'ringfs_meta_request',
      'Requests of clients to this meta server, commits excepted',
      { kind: 'kind', outcome: 'outcome' },
      requests.filter(({ kind }) => kind !== 'commit'),
    ),
  ];
}

function spaceMetrics(block: NodeInfo): MetricFamily[] {
  const members = new Set(block.ring.map(({ nodeId }) => nodeId)).size;
  return [
    gauge('ringfs_ring_joined', '1 if this block node is part of the ring', flag(block.joined)),
    gauge('ringfs_ring_members', 'Block nodes in the ring as this one knows it', members),
    gauge('ringfs_ring_share_ratio', 'Part of all blocks whose first owner this node is', block.ringShare),
    gauge('ringfs_blocks', 'Blocks on this node', block.blocks),
    gauge('ringfs_blocks_stored_bytes', 'Their content', block.storedBytes),
    gauge('ringfs_blocks_file_bytes', 'What the store takes of its disk', block.fileBytes ?? 0),
    gauge('ringfs_blocks_dead_bytes', 'Of these, deleted and not given back yet', block.deadBytes ?? 0),
    gauge('ringfs_blocks_capacity_bytes', 'What this node may store', block.capacityBytes),
    gauge('ringfs_blocks_available_bytes', 'What it may still store', block.availableBytes),
    gauge('ringfs_blocks_read_only', '1 if it is full and takes no blocks', flag(block.readOnly)),
    counter('ringfs_blocks_deleted_total', 'Blocks deleted by garbage collection', block.deletedBlocks ?? 0),
    counter('ringfs_blocks_deleted_bytes_total', 'Their content', block.deletedBytes ?? 0),
  ];
}

function copyMetrics(block: NodeInfo): MetricFamily[] {
  const { repair, drain } = block;
  return [
    gauge(
      'ringfs_blocks_under_replicated',
      'Blocks of this node known to lack a copy elsewhere',
      block.underReplicated,
    ),
    gauge('ringfs_blocks_bad', 'Copies known to be bad and not replaced yet', block.badCopies ?? 0),
    gauge(
      'ringfs_blocks_quarantined_segments',
      'Damaged files that were set aside',
      block.quarantinedSegments ?? 0,
    ),
    gauge('ringfs_blocks_quarantined_bytes', 'Their size', block.quarantinedBytes ?? 0),
    counter('ringfs_blocks_corrupted_total', 'Copies found to be damaged', block.corruptFound),
    counter('ringfs_blocks_repaired_total', 'Copies made good or sent to nodes without', block.repaired),
    counter(
      'ringfs_repair_copied_bytes_total',
      'Sent to other nodes by repair and draining',
      repair?.copiedBytes ?? 0,
    ),
    counter(
      'ringfs_surplus_dropped_total',
      'Copies of blocks that other nodes own, dropped',
      repair?.droppedBlocks ?? 0,
    ),
    counter('ringfs_surplus_dropped_bytes_total', 'Their content', repair?.droppedBytes ?? 0),
    gauge(
      'ringfs_surplus_blocks',
      'Such copies that the last walk found and left',
      repair?.surplusBlocks ?? 0,
    ),
    gauge(
      'ringfs_repair_walking',
      '1 while the blocks are compared with other nodes',
      flag(repair?.walking === true),
    ),
    gauge(
      'ringfs_drain_blocks_left',
      'While this node is drained: blocks to hand over',
      drain?.blocksLeft ?? 0,
    ),
  ];
}

function scrubMetrics({ scrub }: NodeInfo): MetricFamily[] {
  if (scrub === undefined) return [];
  return [
    counter('ringfs_scrub_passes_total', 'Passes of the scrubber over all blocks', scrub.passes),
    gauge('ringfs_scrub_position_ratio', 'How far the pass under way is', scrub.position),
    counter('ringfs_scrub_found_total', 'Bad or lost copies that it found', scrub.found),
    counter('ringfs_scrub_healed_total', 'Of these, replaced', scrub.healed),
    gauge(
      'ringfs_scrub_last_pass_timestamp_seconds',
      'When it was last through; 0: not yet',
      scrub.lastPassEndedSec,
    ),
  ];
}
