import type { ServerId } from '../../base/ids.ts';

/** The append messages in flight to one peer: a ring of their last indexes and sizes. */
export class Inflights {
  readonly #countMax: number;
  readonly #bytesMax: number;
  readonly #lastIndexes: number[] = [];
  readonly #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }
  /** At the byte limit only once exceeded, so that one message always fits. */
  get full(): boolean {
    return this.#count >= this.#countMax || this.#bytes >= this.#bytesMax;
  }

  add(lastIndex: number, bytes: number): void {
    const at = (this.#start + this.#count) % this.#countMax;
    this.#lastIndexes[at] = lastIndex;
    this.#sizes[at] = bytes;
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** Everything up to `index` has arrived. */
  freeTo(index: number): void {
    while (this.#count > 0 && this.#lastIndexes[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!;
      this.#start = (this.#start + 1) % this.#countMax;
      this.#count -= 1;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}

/**
 * What a leader knows about one member. `probe`: one message at a time until the follower's log end is found.
 * `replicate`: pipelined, `next` runs ahead. `snapshot`: nothing is sent until the driver reports the stream's outcome.
 */
export class Progress {
  readonly id: ServerId;
  readonly inflights: Inflights;
  learner = false;
  match = 0;
  next = 1;
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  /** In `probe`: the one message is out. */
  probeSent = false;
  /** In `snapshot`: the snapshot being streamed covers at least this index. */
  pendingSnapshot = 0;
  /** The highest commit mark that the peer was told, as far as it could use it. */
  sentCommit = 0;
  /** The leader's tick at the peer's last message. */
  activeTick = 0;
  /** The leader's tick at the peer's last append response, or at the last message that asks for one. */
  ackTick = 0;
  /** The latest heartbeat round that the peer answered. */
  ackedRound = 0;
  /** As a candidate: its answer. */
  vote: boolean | undefined = undefined;

  constructor(id: ServerId, inflights: Inflights) {
    this.id = id;
    this.inflights = inflights;
  }

  reset(next: number, tick: number): void {
    this.match = 0;
    this.next = next;
    this.sentCommit = 0;
    this.activeTick = tick;
    this.ackTick = tick;
    this.ackedRound = 0;
    this.vote = undefined;
    this.#enter('probe');
  }

  /** Nothing with entries may be sent now. */
  get paused(): boolean {
    if (this.state === 'probe') return this.probeSent;
    return this.state === 'snapshot' || this.inflights.full;
  }

  becomeProbe(): void {
    // After a snapshot the follower has at least what the snapshot covers.
    const known = this.state === 'snapshot' ? Math.max(this.match, this.pendingSnapshot) : this.match;
    this.next = known + 1;
    this.#enter('probe');
  }

  becomeReplicate(): void {
    this.next = this.match + 1;
    this.#enter('replicate');
  }

  becomeSnapshot(index: number): void {
    this.#enter('snapshot');
    this.pendingSnapshot = index;
  }

  #enter(state: 'probe' | 'replicate' | 'snapshot'): void {
    this.state = state;
    this.probeSent = false;
    this.pendingSnapshot = 0;
    this.inflights.clear();
    this.sentCommit = Math.min(this.sentCommit, this.match);
  }

  /** The peer has everything up to `index`. False: that was known. */
  acknowledge(index: number): boolean {
    if (this.next <= index) this.next = index + 1;
    if (index <= this.match) return false;
    this.match = index;
    this.probeSent = false;
    return true;
  }

  /** The peer refused an append after `rejected`; its log may match at `hint`. False: the refusal is stale. */
  reject(rejected: number, hint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      return true;
    }
    if (this.state === 'snapshot' || this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1, 1);
    this.probeSent = false;
    return true;
  }

  /** A message with `count` entries of `bytes` bytes went out. */
  sent(count: number, bytes: number): void {
    if (this.state === 'probe') {
      this.probeSent = true;
    } else if (count > 0) {
      this.next += count;
      this.inflights.add(this.next - 1, bytes);
    }
  }
}
