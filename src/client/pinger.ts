import { ERRNO } from '../base/errno.ts';
import { LEADER_SILENCE_MS, SESSION_PING_INTERVAL_MS } from '../base/limits.ts';
import type { NotLeader, PingReply } from '../gen/ringfs/v1/meta.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import type { MetaConnection } from './leader-search.ts';

export interface PingHooks {
  onReply(reply: PingReply, sentMs: number, receivedMs: number): void;
  onNotLeader(hint: NotLeader): void;
  onSessionLost(): void;
  onSilent(): void;
}

/** Keeps a session alive and notices a leader that has died without closing its connection. */
export class Pinger {
  readonly #timers: Timers;
  readonly #connection: MetaConnection;
  readonly #hooks: PingHooks;
  /** When the pings that have no answer yet were sent; answers come in order. */
  readonly #unanswered = new Set<{ readonly sentMs: number }>();
  #timer: TimerHandle | undefined;
  #lastTickMs: number;
  #stopped = false;

  constructor(timers: Timers, connection: MetaConnection, hooks: PingHooks) {
    this.#timers = timers;
    this.#connection = connection;
    this.#hooks = hooks;
    this.#lastTickMs = timers.nowMs();
  }

  start(): void {
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #tick(): void {
    if (this.#stopped) return;
    const now = this.#timers.nowMs();
    // After a stall of this process the answers may be waiting unread: judge at the next tick.
    const stalled = now - this.#lastTickMs > 2 * SESSION_PING_INTERVAL_MS;
    this.#lastTickMs = now;
    const [oldest] = this.#unanswered;
    if (!stalled && oldest !== undefined && now - oldest.sentMs >= LEADER_SILENCE_MS) {
      this.stop();
      this.#hooks.onSilent();
      return;
    }
    this.#ping(now);
    this.#timer = this.#timers.after(SESSION_PING_INTERVAL_MS, () => this.#tick());
  }

  #ping(sentMs: number): void {
    const ping = { sentMs };
    this.#unanswered.add(ping);
    this.#connection.call({ $case: 'ping', value: {} }, { timeoutMs: 2 * LEADER_SILENCE_MS }).then(
      (reply) => {
        this.#unanswered.delete(ping);
        if (this.#stopped) return;
        if (reply.$case === 'ping') this.#hooks.onReply(reply.value, sentMs, this.#timers.nowMs());
        else if (reply.$case === 'notLeader') this.#hooks.onNotLeader(reply.value);
        else if (reply.$case === 'error' && reply.value.errno === ERRNO.ESTALE) this.#hooks.onSessionLost();
      },
      () => {
        // The connection's own closing is reported by it; an answer that is late is what the tick looks for.
      },
    );
  }
}
