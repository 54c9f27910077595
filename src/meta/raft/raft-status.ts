import type { ServerId } from '../../base/ids.ts';
import type { RaftCoreStatus } from '../../core/raft/types.ts';
import type { RaftStatus, StateCheckStatus } from '../../gen/ringfs/v1/admin.ts';
import type { RaftConfState } from '../../gen/ringfs/v1/raft.ts';

/** What a replica says of itself to people. */
export function raftStatus(
  core: RaftCoreStatus,
  appliedIndex: number,
  stateCheck: StateCheckStatus | undefined,
): RaftStatus {
  const { voters, learners } = core.confState;
  return {
    role: core.role === 'follower' ? followerRole(core.id, core.confState) : core.role,
    term: core.term,
    commitIndex: core.commit,
    appliedIndex,
    lastIndex: core.lastIndex,
    firstIndex: core.firstIndex,
    leaderId: core.leader ?? '',
    voters: [...voters],
    learners: [...learners],
    peers: core.progress
      .filter((p) => p.id !== core.id)
      .map((p) => ({ id: p.id, matchIndex: p.match, state: p.state, recentlyActive: p.recentActive })),
    sessions: 0,
    stateCheck,
  };
}

function followerRole(id: ServerId, confState: RaftConfState): string {
  const { voters, votersOutgoing, learners, learnersNext } = confState;
  if (voters.length === 0) return 'joining';
  if (voters.includes(id) || votersOutgoing.includes(id)) return 'follower';
  return learners.includes(id) || learnersNext.includes(id) ? 'learner' : 'removed';
}
