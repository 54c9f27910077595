import { EMPTY_BYTES } from '../../base/bytes.ts';
import type { ServerId } from '../../base/ids.ts';
import { EntryType, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import { sendRound } from './heartbeat.ts';
import { entryBytes } from './log.ts';
import { confirmRounds, failReads } from './reads.ts';
import { appendOwn } from './replication.ts';
import type { RaftState } from './state.ts';

/** What ends with a term or a role. The lease promise (contactElapsed) does not. */
function reset(s: RaftState, term: number): void {
  if (term !== s.term) {
    // The leader of the new term may replace these entries before they are on the disk. Nobody could commit by them any more: a
    // majority has elected that leader. But no answer promises what its sender does not have.
    s.outbox = s.outbox.filter((m) => m.type !== RaftMessageType.APPEND_RESPONSE || m.reject);
    s.term = term;
    s.votedFor = undefined;
    s.seenRound = 0;
  }
  // A leader promised nothing to anyone but itself.
  if (s.role === 'leader') s.contactElapsed = s.config.electionTicks;
  s.leader = undefined;
  s.electionElapsed = 0;
  s.heartbeatElapsed = 0;
  s.electionTimeout = s.drawElectionTimeout();
  s.forced = false;
  s.pendingConfIndex = 0;
  s.uncommittedBytes = 0;
  s.transferee = undefined;
  s.summoned.clear();
  s.commitNewsDue = false;
  s.appendsDue = false;
  s.rounds.reset();
  s.tracker.reset(s.log.lastIndex + 1, s.ticks);
  failReads(s);
}

export function becomeFollower(s: RaftState, term: number, leader: ServerId | undefined): void {
  reset(s, term);
  s.role = 'follower';
  s.leader = leader;
}

/** Thesis, 9.6: asks whether it could win before it disturbs anyone with a new term. */
export function becomePreCandidate(s: RaftState): void {
  reset(s, s.term);
  s.role = 'pre-candidate';
}

export function becomeCandidate(s: RaftState, forced: boolean): void {
  reset(s, s.term + 1);
  s.forced = forced;
  s.role = 'candidate';
  s.votedFor = s.id;
}

export function becomeLeader(s: RaftState): void {
  reset(s, s.term);
  s.role = 'leader';
  s.leader = s.id;
  const { log } = s;
  const self = s.tracker.self;
  if (self !== undefined) {
    self.becomeReplicate();
    self.acknowledge(log.stable);
  }
  // There may be a configuration change among the entries that are not applied yet; it is not worth looking.
  s.pendingConfIndex = log.lastIndex;
  for (let index = log.commit + 1; index <= log.lastIndex; index++) {
    const entry = log.entry(index);
    if (entry !== undefined) s.uncommittedBytes += entryBytes(entry);
  }
  // Thesis, 6.4: entries of earlier terms commit with the first one of this term.
  appendOwn(s, EntryType.NORMAL, EMPTY_BYTES);
  sendRound(s);
  confirmRounds(s);
}
