import type { ServerId } from '../../base/ids.ts';
import { PACE_BYTES_MAX, PACE_MS } from '../../base/limits.ts';
import { type RaftConfState, type RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import type { TimerHandle, Timers } from '../../ports/clock.ts';

export interface PacerComponents {
  readonly timers: Timers;
  /** Sends at once. */
  readonly send: (messages: readonly RaftMessage[]) => void;
}

interface Held {
  readonly messages: RaftMessage[];
  bytes: number;
  /** The first entry held. */
  readonly index: number;
}

/**
 * Spares the replicas that a commit does not wait for. A leader and the fastest followers that make a quorum with it decide; the
 * entries for the others are held for up to PACE_MS and sent together, so that a follower that is not waited for persists and answers
 * once for many commits, not once for each ("thrifty" replication). Messages are only delayed, never reordered or dropped, so
 * nothing that Raft relies on changes. When what is held is still not committed after PACE_MS, a fast follower has become slow
 * or is gone: everybody is sent everything again, and the first to answer are the fast ones from then on.
 */
export class Pacer {
  readonly #c: PacerComponents;
  readonly #self: ServerId;
  readonly #held = new Map<string, Held>();
  #voters: readonly string[] = [];
  /** A configuration in which one quorum decides. */
  #simple = false;
  /** Those who answered first since all were sent everything. Complete when there are enough for a quorum. */
  readonly #fast = new Set<string>();
  /** Only answers to entries from here on tell who is fast: all were sent these at once. */
  #raceFrom = 1;
  /** The last entry sent or held. */
  #lastIndex = 0;
  #commit = 0;
  #timer: TimerHandle | undefined;

  constructor(components: PacerComponents, self: ServerId) {
    this.#c = components;
    this.#self = self;
  }

  configure(confState: RaftConfState): void {
    this.#voters = confState.voters;
    this.#simple = confState.votersOutgoing.length === 0;
    this.race();
  }

  /** Takes over the messages of a Ready. */
  send(messages: readonly RaftMessage[]): void {
    const now: RaftMessage[] = [];
    for (const message of messages) {
      const isAppend = message.type === RaftMessageType.APPEND && message.entries.length > 0;
      if (isAppend) this.#lastIndex = Math.max(this.#lastIndex, lastIndexOf(message));
      if (isAppend && this.#isSpared(message.to)) {
        const held = this.#hold(message);
        if (held.bytes >= PACE_BYTES_MAX) now.push(...this.#take(message.to));
      } else {
        now.push(...this.#take(message.to), message);
      }
    }
    if (now.length > 0) this.#c.send(now);
  }

  onReceive(message: RaftMessage): void {
    if (message.type !== RaftMessageType.APPEND_RESPONSE || message.reject) return;
    if (this.#decided() || message.index < this.#raceFrom || !this.#voters.includes(message.from)) return;
    this.#fast.add(message.from);
  }

  onCommit(index: number): void {
    this.#commit = index;
  }

  /** Nobody is spared until it is known again who is fast. */
  race(): void {
    this.#fast.clear();
    this.#raceFrom = this.#lastIndex + 1;
    this.flush();
  }

  unreachable(id: ServerId): void {
    if (this.#fast.has(id)) this.race();
  }

  /** Sends what is held. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const messages = [...this.#held.keys()].flatMap((to) => this.#take(to));
    if (messages.length > 0) this.#c.send(messages);
  }

  /** This replica does not lead any more: what is held is of no use to anybody. */
  drop(): void {
    this.#held.clear();
    this.#lastIndex = 0;
    this.race();
  }

  /** Enough answered that they and the leader are a quorum. */
  #decided(): boolean {
    return this.#fast.size + 1 > this.#voters.length / 2;
  }

  #isSpared(id: string): boolean {
    return this.#simple && this.#decided() && this.#voters.includes(this.#self) && !this.#fast.has(id);
  }

  #hold(message: RaftMessage): Held {
    let held = this.#held.get(message.to);
    if (held === undefined) {
      held = { messages: [], bytes: 0, index: message.entries[0]!.index };
      this.#held.set(message.to, held);
    }
    held.messages.push(message);
    for (const entry of message.entries) held.bytes += entry.data.length;
    this.#timer ??= this.#c.timers.after(PACE_MS, () => this.#onTimer());
    return held;
  }

  #onTimer(): void {
    this.#timer = undefined;
    const isLate = [...this.#held.values()].some((held) => held.index > this.#commit);
    if (isLate) this.race();
    else this.flush();
  }

  /** What is held for a peer, in as few messages as it fits. */
  #take(to: string): RaftMessage[] {
    const held = this.#held.get(to);
    if (held === undefined) return [];
    this.#held.delete(to);
    return joined(held.messages);
  }
}

function lastIndexOf(message: RaftMessage): number {
  return message.index + message.entries.length;
}

/** Appends of one term that follow each other are one append. */
function joined(messages: readonly RaftMessage[]): RaftMessage[] {
  const out: RaftMessage[] = [];
  for (const message of messages) {
    const last = out.at(-1);
    if (last === undefined || last.term !== message.term || lastIndexOf(last) !== message.index) {
      out.push({ ...message, entries: [...message.entries] });
      continue;
    }
    last.entries.push(...message.entries);
    last.commit = Math.max(last.commit, message.commit);
  }
  return out;
}
