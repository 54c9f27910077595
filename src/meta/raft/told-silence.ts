import { SESSION_SILENCE_TOLD_AGE_MS_MAX } from '../../base/limits.ts';
import { type RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import type { Timers } from '../../ports/clock.ts';
import type { SilentSession } from '../replica.ts';

/**
 * Whom the leader has not heard of, sent with its heartbeats so that the next leader need not begin to count anew. Kept in memory
 * only: when it gets lost, sessions last longer, as they would without it.
 */
export class ToldSilence {
  readonly #timers: Timers;
  #sessions: readonly SilentSession[] = [];
  #atMs = 0;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** At the leader. */
  tell(sessions: readonly SilentSession[]): void {
    this.#sessions = sessions;
    this.#atMs = this.#timers.nowMs();
  }

  /** The messages of a Ready at the leader, with what the others are to know. */
  outgoing(messages: readonly RaftMessage[]): readonly RaftMessage[] {
    if (this.#sessions.length === 0) return messages;
    const silence = { sessions: [...this.#sessions] };
    return messages.map((m) => (m.type === RaftMessageType.HEARTBEAT ? { ...m, silence } : m));
  }

  /** At a follower, of the leader of its term or a later one. A heartbeat without any says that all have been heard. */
  onReceive({ type, silence }: RaftMessage): void {
    if (type === RaftMessageType.HEARTBEAT) this.tell(silence?.sessions ?? []);
  }

  /** The last that was told, here or by another leader. */
  latest(): readonly SilentSession[] {
    const ageMs = this.#timers.nowMs() - this.#atMs;
    if (ageMs > SESSION_SILENCE_TOLD_AGE_MS_MAX) return [];
    return this.#sessions.map(({ session, silentMs }) => ({ session, silentMs: silentMs + ageMs }));
  }
}
