import type { ServerId } from '../../base/ids.ts';
import { type RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import { sendRound } from './heartbeat.ts';
import type { LeaderRead } from './read-requests.ts';
import type { RaftState } from './state.ts';

/**
 * ReadIndex (thesis, 6.4): the leader remembers its commit mark, makes sure by a heartbeat round that it still leads, and answers with
 * the mark. Requests since the last Ready share a round; followers forward theirs as one request.
 */
export function readIndex(s: RaftState, context: number): void {
  if (s.role === 'leader') {
    if (!admit(s, { from: undefined, context })) refuse(s, context);
  } else if (s.leader === undefined || !s.reads.forwardLater(context)) {
    refuse(s, context);
  }
}

/** A follower's request at whoever it takes for the leader. */
export function handleReadIndex(s: RaftState, message: RaftMessage): void {
  const read = { from: message.from as ServerId, context: message.context };
  if (s.role !== 'leader' || !admit(s, read)) refuseForwarded(s, read.from, read.context);
}

export function refuseForwarded(s: RaftState, to: ServerId, context: number): void {
  const answer = s.send(RaftMessageType.READ_INDEX_RESPONSE, to);
  answer.context = context;
  answer.reject = true;
}

export function handleReadIndexResponse(s: RaftState, message: RaftMessage): void {
  if (message.from !== s.leader) return;
  for (const context of s.reads.takeForwarded(message.context)) {
    s.readStates.push({ context, index: message.reject ? undefined : message.index });
  }
}

/** Sends what was asked since the last Ready. */
export function flushReads(s: RaftState): void {
  if (s.reads.hasQueued) {
    const index = s.log.commit;
    s.reads.assign(sendRound(s), index);
    confirmRounds(s);
  }
  if (s.reads.hasUnsent && s.leader !== undefined) {
    s.send(RaftMessageType.READ_INDEX, s.leader).context = s.reads.forward(s.ticks);
  }
}

/** Extends the lease and answers reads after a member answered a round. */
export function confirmRounds(s: RaftState): void {
  const round = s.tracker.quorumRound();
  s.rounds.answered(round);
  for (const { index, reads } of s.reads.takeAnswered(round)) {
    for (const { from, context } of reads) {
      if (from === undefined) {
        s.readStates.push({ context, index });
      } else {
        const answer = s.send(RaftMessageType.READ_INDEX_RESPONSE, from);
        answer.context = context;
        answer.index = index;
      }
    }
  }
}

/** The leader that was to answer is gone, or is not the leader any more. */
export function failReads(s: RaftState): void {
  for (const { from, context } of s.reads.takeLeaderReads()) {
    if (from === undefined) refuse(s, context);
    else refuseForwarded(s, from, context);
  }
  for (const context of s.reads.takeFollowerReads()) refuse(s, context);
}

/** Gives up on forwarded requests without an answer for an election timeout. */
export function expireReads(s: RaftState): void {
  for (const context of s.reads.takeForwardedBefore(s.ticks - s.config.electionTicks)) refuse(s, context);
}

function admit(s: RaftState, read: LeaderRead): boolean {
  // Until then the commit mark may be behind what an earlier leader acknowledged.
  return s.committedInTerm && s.reads.queue(read);
}

function refuse(s: RaftState, context: number): void {
  s.readStates.push({ context, index: undefined });
}
