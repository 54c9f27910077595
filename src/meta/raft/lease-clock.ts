import type { ServerId } from '../../base/ids.ts';
import { RAFT_ELECTION_TICKS, RAFT_TICK_MS } from '../../base/limits.ts';
import type { RaftConfState, RaftMessage } from '../../gen/ringfs/v1/raft.ts';
import { RaftMessageType } from '../../gen/ringfs/v1/raft.ts';

/**
 * How long after sending a heartbeat its answer proves that no other leader exists: a follower grants no vote within
 * RAFT_ELECTION_TICKS of hearing from its leader. Its first tick may come at once and timers may be a little early, hence two less.
 */
export const LEASE_MS = (RAFT_ELECTION_TICKS - 2) * RAFT_TICK_MS;

/** Rounds remembered while their answers are awaited. */
const ROUNDS_MAX = 256;

/**
 * The leader's lease in real time, counted from when the heartbeats were sent. The core counts ticks from when the answers
 * came in, and ticks stand still with the event loop.
 */
export class LeaseClock {
  readonly #self: ServerId;
  readonly #sentAtMs = new Map<number, number>();
  /** When the latest answered heartbeat was sent to each peer. */
  readonly #ackedMs = new Map<string, number>();
  #term = 0;

  constructor(self: ServerId) {
    this.#self = self;
  }

  onSend(messages: readonly RaftMessage[], nowMs: number): void {
    for (const message of messages) {
      if (message.type !== RaftMessageType.HEARTBEAT || message.context === 0) continue;
      this.#enter(message.term);
      // The first sending of a round is the one that counts.
      if (this.#sentAtMs.has(message.context)) continue;
      this.#sentAtMs.set(message.context, nowMs);
      if (this.#sentAtMs.size > ROUNDS_MAX) {
        for (const oldest of this.#sentAtMs.keys()) {
          this.#sentAtMs.delete(oldest);
          break;
        }
      }
    }
  }

  onReceive(message: RaftMessage): void {
    if (message.type !== RaftMessageType.HEARTBEAT_RESPONSE || message.term !== this.#term) return;
    const sentAtMs = this.#sentAtMs.get(message.context);
    if (sentAtMs === undefined) return;
    const known = this.#ackedMs.get(message.from) ?? Number.NEGATIVE_INFINITY;
    if (sentAtMs > known) this.#ackedMs.set(message.from, sentAtMs);
  }

  /** A quorum of every voter set answered heartbeats that were sent less than LEASE_MS ago in `term`. */
  valid(term: number, confState: RaftConfState, nowMs: number): boolean {
    const quorum = (voters: readonly string[]): boolean => {
      if (voters.length === 0) return true;
      const fresh = voters.filter((id) => id === this.#self || this.#fresh(id, term, nowMs));
      return fresh.length > voters.length / 2;
    };
    return quorum(confState.voters) && quorum(confState.votersOutgoing);
  }

  #fresh(id: string, term: number, nowMs: number): boolean {
    const ackedMs = this.#ackedMs.get(id);
    return term === this.#term && ackedMs !== undefined && nowMs - ackedMs < LEASE_MS;
  }

  #enter(term: number): void {
    if (term === this.#term) return;
    this.#term = term;
    this.#sentAtMs.clear();
    this.#ackedMs.clear();
  }
}
