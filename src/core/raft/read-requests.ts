import type { ServerId } from '../../base/ids.ts';
import { RAFT_READS_PENDING_MAX } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';

/** A read waiting at the leader; `from` undefined: asked for by the leader's own driver. */
export interface LeaderRead {
  readonly from: ServerId | undefined;
  readonly context: number;
}

interface Round {
  readonly round: number;
  readonly index: number;
  readonly reads: readonly LeaderRead[];
}

interface Forwarded {
  readonly contexts: readonly number[];
  readonly tick: number;
}

/** The read requests in progress: at the leader grouped by heartbeat round, at a follower by forwarded message. */
export class ReadRequests {
  /** Leader: waiting for the next round to be started. */
  #queued: LeaderRead[] = [];
  #rounds: Round[] = [];
  /** Follower: waiting for the next message to the leader. */
  #unsent: number[] = [];
  #forwarded = new Map<number, Forwarded>();
  #nextGroup: number;
  #pending = 0;

  constructor(random: Random) {
    // A late answer to this node's previous life must not be taken for an answer to this one's read.
    this.#nextGroup = Math.floor(random.next() * 2 ** 47);
  }

  get hasQueued(): boolean {
    return this.#queued.length > 0;
  }
  get hasUnsent(): boolean {
    return this.#unsent.length > 0;
  }

  /** False: too many. */
  queue(read: LeaderRead): boolean {
    if (this.#pending >= RAFT_READS_PENDING_MAX) return false;
    this.#pending += 1;
    this.#queued.push(read);
    return true;
  }

  /** Everything queued waits for `round` now; `index` is the commit mark before the round was sent. */
  assign(round: number, index: number): void {
    this.#rounds.push({ round, index, reads: this.#queued });
    this.#queued = [];
  }

  /** Takes the reads whose round, or a later one, a quorum answered. */
  takeAnswered(round: number): readonly Round[] {
    let done = 0;
    for (const waiting of this.#rounds) {
      if (waiting.round > round) break;
      this.#pending -= waiting.reads.length;
      done += 1;
    }
    return done === 0 ? [] : this.#rounds.splice(0, done);
  }

  /** Takes all reads of the leader, because it is none any more. */
  takeLeaderReads(): LeaderRead[] {
    const reads = this.#rounds.flatMap((round) => round.reads).concat(this.#queued);
    this.#pending -= reads.length;
    this.#rounds = [];
    this.#queued = [];
    return reads;
  }

  /** False: too many. */
  forwardLater(context: number): boolean {
    if (this.#pending >= RAFT_READS_PENDING_MAX) return false;
    this.#pending += 1;
    this.#unsent.push(context);
    return true;
  }

  /** Everything unsent goes to the leader as one request; returns its number. */
  forward(tick: number): number {
    const group = this.#nextGroup;
    this.#nextGroup += 1;
    this.#forwarded.set(group, { contexts: this.#unsent, tick });
    this.#unsent = [];
    return group;
  }

  /** The driver's contexts of a forwarded request, once. */
  takeForwarded(group: number): readonly number[] {
    const contexts = this.#forwarded.get(group)?.contexts ?? [];
    this.#forwarded.delete(group);
    this.#pending -= contexts.length;
    return contexts;
  }

  /** Takes the forwarded requests that were sent before `tick`; their messages may have been lost. */
  takeForwardedBefore(tick: number): number[] {
    const contexts: number[] = [];
    // In the order of sending, which is that of time.
    for (const [group, request] of this.#forwarded) {
      if (request.tick >= tick) break;
      contexts.push(...this.takeForwarded(group));
    }
    return contexts;
  }

  /** Takes all reads of the follower, because its leader is gone. */
  takeFollowerReads(): number[] {
    const contexts = this.takeForwardedBefore(Number.POSITIVE_INFINITY).concat(this.#unsent);
    this.#pending -= this.#unsent.length;
    this.#unsent = [];
    return contexts;
  }
}
