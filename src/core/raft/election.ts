import type { ServerId } from '../../base/ids.ts';
import { EntryType, type RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './roles.ts';
import type { RaftState } from './state.ts';

/** Starts an election when this node may lead: it is a voter, and applied every committed configuration change. */
export function campaign(s: RaftState): void {
  if (mayCampaign(s)) preCampaign(s);
}

function mayCampaign(s: RaftState): boolean {
  return s.role !== 'leader' && s.tracker.isVoter(s.id) && !hasUnappliedConfChange(s);
}

/** Such a change may have taken the vote from this node or given it to others. */
function hasUnappliedConfChange(s: RaftState): boolean {
  for (let index = s.log.applied + 1; index <= s.log.commit; index++) {
    if (s.log.entry(index)?.type === EntryType.CONF_CHANGE) return true;
  }
  return false;
}

function preCampaign(s: RaftState): void {
  becomePreCandidate(s);
  recordVote(s, s.id, true);
  requestVotes(s);
  if (s.tracker.voteResult() === 'won') realCampaign(s, false);
}

function realCampaign(s: RaftState, force: boolean): void {
  becomeCandidate(s, force);
  requestVotes(s);
  // Its own vote counts once it is persisted; see countOwnVote.
}

/** A vote that could be forgotten is none, not even this node's own: a single voter would lead before its term is safe. */
export function countOwnVote(s: RaftState): void {
  if (s.role !== 'candidate') return;
  if (s.persisted.term !== s.term || s.persisted.votedFor !== s.id) return;
  recordVote(s, s.id, true);
  settleVote(s);
}

/** To voters that have not answered yet. Repeated, because messages get lost and voters come out of their lease. */
export function requestVotes(s: RaftState): void {
  const pre = s.role === 'pre-candidate';
  for (const peer of s.tracker.voterPeers) {
    if (peer.vote !== undefined) continue;
    const message = s.send(pre ? RaftMessageType.PRE_VOTE : RaftMessageType.VOTE, peer.id);
    if (pre) message.term = s.term + 1;
    message.index = s.log.lastIndex;
    message.logTerm = s.log.lastTerm;
    message.force = s.forced;
    tellCommit(s, message);
  }
}

/** PRE_VOTE and VOTE of this or a later term, past the lease check. A pre-vote changes nothing here. */
export function handleVoteRequest(s: RaftState, message: RaftMessage): void {
  learnCommit(s, message);
  const pre = message.type === RaftMessageType.PRE_VOTE;
  const from = message.from as ServerId;
  const free =
    s.votedFor === from ||
    (s.votedFor === undefined && s.leader === undefined) ||
    (pre && message.term > s.term);
  const granted = free && s.log.isUpToDate(message.index, message.logTerm);
  const answer = s.send(pre ? RaftMessageType.PRE_VOTE_RESPONSE : RaftMessageType.VOTE_RESPONSE, from);
  answer.reject = !granted;
  tellCommit(s, answer);
  if (!granted) return;
  answer.term = message.term;
  if (pre) return;
  s.electionElapsed = 0;
  s.votedFor = from;
}

/** A refusal of any term up to ours, or an agreement to the term that is being asked for. */
export function handleVoteResponse(s: RaftState, message: RaftMessage): void {
  const pre = message.type === RaftMessageType.PRE_VOTE_RESPONSE;
  if (s.role !== (pre ? 'pre-candidate' : 'candidate')) return;
  if (pre && !message.reject && message.term !== s.term + 1) return;
  learnCommit(s, message);
  if (hasUnappliedConfChange(s)) {
    // The election is held among the wrong voters.
    becomeFollower(s, s.term, undefined);
    return;
  }
  recordVote(s, message.from, !message.reject);
  settleVote(s);
}

/** The leader wants this node to take over. */
export function handleTimeoutNow(s: RaftState, message: RaftMessage): void {
  if (s.role !== 'follower' || s.leader !== message.from) return;
  // It has carried on since: its lease counts on us again. See transfer.ts.
  if (s.seenRound > message.context) return;
  // No pre-vote: the voters are not to be asked, but told, that the leader agrees.
  if (mayCampaign(s)) realCampaign(s, true);
}

/**
 * Vote requests and their answers carry the commit mark and its term (in rejectHintTerm). Without that, a candidate that has not heard
 * that a member was removed can need the vote of that member, which may have a longer log and never campaigns itself.
 */
function tellCommit(s: RaftState, message: RaftMessage): void {
  message.commit = s.log.commit;
  message.rejectHintTerm = s.log.termAt(s.log.commit);
}

/** An entry that is committed anywhere is committed here too, with everything before it. */
function learnCommit(s: RaftState, message: RaftMessage): void {
  if (s.role === 'leader' || message.commit <= s.log.commit) return;
  if (s.log.term(message.commit) === message.rejectHintTerm) s.log.commitTo(message.commit);
}

function recordVote(s: RaftState, id: string, granted: boolean): void {
  const member = s.tracker.get(id);
  if (member !== undefined) member.vote ??= granted;
}

function settleVote(s: RaftState): void {
  const result = s.tracker.voteResult();
  if (result === 'lost') becomeFollower(s, s.term, undefined);
  else if (result === 'won' && s.role === 'candidate') becomeLeader(s);
  else if (result === 'won') realCampaign(s, false);
}
