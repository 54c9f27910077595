import type { ServerId } from '../../base/ids.ts';
import { type RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import type { RaftState } from './state.ts';

/** Ticks are not aligned with sending and receiving: one is lost at either end. */
const LEASE_PHASE_TICKS = 2;
/** One tick in so many is allowed for clocks that run at different speeds. */
const LEASE_DRIFT_TICKS = 10;

/** Asks every peer for a sign of life. The round is answered at once where this node is a quorum: call confirmRounds. */
export function sendRound(s: RaftState): number {
  const round = s.rounds.start(s.ticks);
  s.heartbeatElapsed = 0;
  if (s.tracker.self !== undefined) s.tracker.self.ackedRound = round;
  for (const peer of s.tracker.peers) {
    const message = s.send(RaftMessageType.HEARTBEAT, peer.id);
    message.context = round;
    // The follower may commit only what is known to be in its log.
    message.commit = Math.min(peer.match, s.log.commit);
  }
  return round;
}

export function handleHeartbeat(s: RaftState, message: RaftMessage): void {
  s.seenRound = Math.max(s.seenRound, message.context);
  // A correct leader names nothing beyond our end.
  if (message.commit <= s.log.lastIndex) s.log.commitTo(message.commit);
  s.send(RaftMessageType.HEARTBEAT_RESPONSE, message.from as ServerId).context = message.context;
}

/**
 * While it is true no other leader exists, provided that clocks differ by less than a twentieth: a quorum
 * answered a round, and each of that quorum ignores candidates for electionTicks after receiving it, which is after it was sent.
 */
export function leaseValid(s: RaftState): boolean {
  if (s.role !== 'leader' || s.summoned.size > 0 || !s.committedInTerm) return false;
  const { electionTicks } = s.config;
  const leaseTicks = electionTicks - LEASE_PHASE_TICKS - Math.ceil(electionTicks / LEASE_DRIFT_TICKS);
  return s.ticks - s.rounds.quorumTick <= leaseTicks;
}
