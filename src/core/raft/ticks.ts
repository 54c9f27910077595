import { campaign, requestVotes } from './election.ts';
import { sendRound } from './heartbeat.ts';
import { leaveJointWhenDue } from './membership.ts';
import { confirmRounds, expireReads } from './reads.ts';
import { becomeFollower } from './roles.ts';
import type { RaftState } from './state.ts';
import { abandonTransfer } from './transfer.ts';

export function tick(s: RaftState): void {
  s.ticks += 1;
  s.contactElapsed += 1;
  if (s.role === 'leader') tickLeader(s);
  else tickFollower(s);
}

function tickLeader(s: RaftState): void {
  const { electionTicks, heartbeatTicks } = s.config;
  if (s.tracker.self !== undefined) s.tracker.self.activeTick = s.ticks;
  if (s.transferee !== undefined) {
    s.transferElapsed += 1;
    if (s.transferElapsed >= electionTicks) abandonTransfer(s);
  }
  // CheckQuorum (thesis, 6.2): clients of a leader without followers should look for another one.
  if (s.ticks - s.tracker.quorumActiveTick() >= electionTicks) {
    becomeFollower(s, s.term, undefined);
    return;
  }
  leaveJointWhenDue(s);
  s.heartbeatElapsed += 1;
  if (s.heartbeatElapsed < heartbeatTicks) return;
  sendRound(s);
  confirmRounds(s);
}

function tickFollower(s: RaftState): void {
  s.electionElapsed += 1;
  expireReads(s);
  if (s.electionElapsed >= s.electionTimeout) {
    s.electionElapsed = 0;
    campaign(s);
    return;
  }
  const asking = s.role === 'candidate' || s.role === 'pre-candidate';
  if (asking && s.electionElapsed % s.config.heartbeatTicks === 0) requestVotes(s);
}
