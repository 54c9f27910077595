import type { TimerHandle, Timers } from '../ports/clock.ts';

/**
 * Until when cached metadata may be used: the leader's promise not to change it behind our back. Counted from the sending
 * of a ping, because the leader counts from its arrival, which is later.
 */
export class Lease {
  readonly #timers: Timers;
  readonly #onLost: () => void;
  readonly #onGained: () => void;
  #untilMs = Number.NEGATIVE_INFINITY;
  #held = false;
  #timer: TimerHandle | undefined;

  constructor(timers: Timers, hooks: { readonly onLost: () => void; readonly onGained: () => void }) {
    this.#timers = timers;
    this.#onLost = hooks.onLost;
    this.#onGained = hooks.onGained;
  }

  /** Notices that the time has run out even when its timer is late. */
  get held(): boolean {
    if (this.#held && this.#timers.nowMs() >= this.#untilMs) this.drop();
    return this.#held;
  }

  /** The leader answered a ping that was sent at `untilMs` less the lease time. */
  extend(untilMs: number): void {
    if (untilMs <= this.#timers.nowMs()) return;
    const before = this.held;
    this.#untilMs = Math.max(this.#untilMs, untilMs);
    this.#held = true;
    // The leader may have forgotten our leases during the gap and told nobody, so nothing from before counts.
    if (!before) this.#onGained();
    this.#arm();
  }

  /** No more leased: the connection has changed or the time has run out. */
  drop(): void {
    this.#untilMs = Number.NEGATIVE_INFINITY;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!this.#held) return;
    this.#held = false;
    this.#onLost();
  }

  /** One timer that is pushed on lazily: extensions come four times a second. */
  #arm(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#timers.after(this.#untilMs - this.#timers.nowMs(), () => {
      this.#timer = undefined;
      if (this.held) this.#arm();
    });
  }
}
