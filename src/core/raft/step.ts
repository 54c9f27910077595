import type { ServerId } from '../../base/ids.ts';
import { type RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import { handleTimeoutNow, handleVoteRequest, handleVoteResponse } from './election.ts';
import { handleHeartbeat } from './heartbeat.ts';
import { isFromLeader, isSaneMessage } from './messages.ts';
import { handleReadIndex, handleReadIndexResponse, refuseForwarded } from './reads.ts';
import { handleAppend, handleAppendResponse, handleHeartbeatResponse } from './replication.ts';
import { becomeFollower } from './roles.ts';
import type { RaftState } from './state.ts';

function isVoteRequest(type: RaftMessageType): boolean {
  return type === RaftMessageType.PRE_VOTE || type === RaftMessageType.VOTE;
}

function isVoteResponse(type: RaftMessageType): boolean {
  return type === RaftMessageType.PRE_VOTE_RESPONSE || type === RaftMessageType.VOTE_RESPONSE;
}

/** Answers to a leader or candidate; only members are asked, so only members' answers count. */
function isAnswerOfMember(type: RaftMessageType): boolean {
  return (
    isVoteResponse(type) ||
    type === RaftMessageType.APPEND_RESPONSE ||
    type === RaftMessageType.HEARTBEAT_RESPONSE
  );
}

/** One message from another replica. Requests are taken from anyone: our configuration may be the older one (thesis, 4.1). */
export function step(s: RaftState, message: RaftMessage): void {
  if (!isSaneMessage(message, s.id)) return;
  if (isAnswerOfMember(message.type) && s.tracker.get(message.from) === undefined) return;
  if (message.term < s.term) {
    answerLowerTerm(s, message);
    return;
  }
  if (isVoteRequest(message.type) && s.inLease && !message.force && !isRepeatedVote(s, message)) return;
  if (message.term > s.term && raisesTerm(message)) {
    becomeFollower(s, message.term, isFromLeader(message.type) ? (message.from as ServerId) : undefined);
  }
  dispatch(s, message);
}

/** The candidate has this node's vote already; only the answer was lost. */
function isRepeatedVote(s: RaftState, message: RaftMessage): boolean {
  return message.type === RaftMessageType.VOTE && message.term === s.term && s.votedFor === message.from;
}

/** A pre-vote is about a term that may never be. */
function raisesTerm(message: RaftMessage): boolean {
  if (message.type === RaftMessageType.PRE_VOTE) return false;
  return message.type !== RaftMessageType.PRE_VOTE_RESPONSE || message.reject;
}

/** Tells the sender our term where it would otherwise go on asking in vain. */
function answerLowerTerm(s: RaftState, message: RaftMessage): void {
  const from = message.from as ServerId;
  switch (message.type) {
    case RaftMessageType.PRE_VOTE:
      s.send(RaftMessageType.PRE_VOTE_RESPONSE, from).reject = true;
      return;
    case RaftMessageType.VOTE:
      s.send(RaftMessageType.VOTE_RESPONSE, from).reject = true;
      return;
    case RaftMessageType.APPEND:
    case RaftMessageType.HEARTBEAT:
      // A deposed leader steps down; the leader of a cluster that we were cut off from takes a new term and takes us in.
      s.send(RaftMessageType.APPEND_RESPONSE, from).reject = true;
      return;
    case RaftMessageType.READ_INDEX:
      refuseForwarded(s, from, message.context);
      return;
    default:
      return;
  }
}

function dispatch(s: RaftState, message: RaftMessage): void {
  if (isVoteRequest(message.type)) {
    handleVoteRequest(s, message);
  } else if (isVoteResponse(message.type)) {
    handleVoteResponse(s, message);
  } else if (isFromLeader(message.type)) {
    if (followSender(s, message)) handleFromLeader(s, message);
  } else if (message.type === RaftMessageType.TIMEOUT_NOW) {
    handleTimeoutNow(s, message);
  } else if (message.type === RaftMessageType.READ_INDEX) {
    handleReadIndex(s, message);
  } else if (message.type === RaftMessageType.READ_INDEX_RESPONSE) {
    handleReadIndexResponse(s, message);
  } else {
    handleAnswer(s, message);
  }
}

/** Election safety: a second leader of our term is a mistake of the sender's. */
function followSender(s: RaftState, message: RaftMessage): boolean {
  const from = message.from as ServerId;
  if (s.role === 'leader' || (s.leader !== undefined && s.leader !== from)) return false;
  if (s.role !== 'follower' || s.leader === undefined) becomeFollower(s, message.term, from);
  s.touchContact();
  return true;
}

function handleFromLeader(s: RaftState, message: RaftMessage): void {
  if (message.type === RaftMessageType.APPEND) handleAppend(s, message);
  else if (message.type === RaftMessageType.HEARTBEAT) handleHeartbeat(s, message);
  // SNAPSHOT itself says only who leads; the driver receives the stream and calls restoreSnapshot.
}

function handleAnswer(s: RaftState, message: RaftMessage): void {
  const peer = s.tracker.get(message.from);
  if (s.role !== 'leader' || peer === undefined) return;
  peer.activeTick = s.ticks;
  if (message.type === RaftMessageType.APPEND_RESPONSE) handleAppendResponse(s, message, peer);
  else if (message.type === RaftMessageType.HEARTBEAT_RESPONSE) handleHeartbeatResponse(s, message, peer);
}
