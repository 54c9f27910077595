import { RAFT_TICK_MS } from '../../base/limits.ts';
import type { TimerHandle, Timers } from '../../ports/clock.ts';

/**
 * Calls `onTick` every RAFT_TICK_MS. Ticks missed while the event loop stood still are not made up for: the messages
 * that would have kept an election away are still unread then.
 */
export class Ticker {
  readonly #timers: Timers;
  readonly #onTick: () => void;
  #timer: TimerHandle | undefined;
  #dueMs = 0;

  constructor(timers: Timers, onTick: () => void) {
    this.#timers = timers;
    this.#onTick = onTick;
  }

  start(): void {
    this.#dueMs = this.#timers.nowMs() + RAFT_TICK_MS;
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    const delayMs = Math.max(1, this.#dueMs - this.#timers.nowMs());
    this.#timer = this.#timers.after(delayMs, () => {
      // A little late: keep the rate. Very late: start counting anew.
      this.#dueMs = Math.max(this.#dueMs + RAFT_TICK_MS, this.#timers.nowMs() + RAFT_TICK_MS / 2);
      this.#arm();
      this.#onTick();
    });
  }
}
